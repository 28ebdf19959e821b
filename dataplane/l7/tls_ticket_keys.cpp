#include "dataplane/l7/tls_ticket_keys.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstdlib>

namespace sluice::l7 {
namespace {

TicketKey new_key() {
  TicketKey key;
  // A guessable key would open every session: better no proxy than that.
  if (RAND_bytes(key.name.data(), static_cast<int>(key.name.size())) != 1 ||
      RAND_priv_bytes(key.cipher.data(), static_cast<int>(key.cipher.size())) != 1 ||
      RAND_priv_bytes(key.mac.data(), static_cast<int>(key.mac.size())) != 1) {
    std::abort();
  }
  return key;
}

}  // namespace

TlsTicketKeys::TlsTicketKeys(Clock::time_point now, std::chrono::seconds lifetime)
    : lifetime_(lifetime), since_(now), current_(new_key()) {}

TlsTicketKeys::TlsTicketKeys(const State& state, Clock::time_point now, std::chrono::seconds lifetime)
    : lifetime_(lifetime),
      since_(now - std::max(state.age, std::chrono::milliseconds(0))),
      current_(state.current),
      previous_(state.previous) {}

TlsTicketKeys::State TlsTicketKeys::state(Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  rotate(now);
  return {current_, previous_, std::chrono::duration_cast<std::chrono::milliseconds>(now - since_)};
}

TlsTicketKeys::~TlsTicketKeys() {
  OPENSSL_cleanse(&current_, sizeof(current_));
  if (previous_) OPENSSL_cleanse(&*previous_, sizeof(*previous_));
}

void TlsTicketKeys::rotate(Clock::time_point now) {
  const auto periods = (now - since_) / lifetime_;
  if (periods < 1) return;
  // After a time without any handshake, the last key's tickets may be too old as well.
  if (periods == 1) {
    previous_ = current_;
  } else {
    previous_.reset();
  }
  current_ = new_key();
  since_ += periods * lifetime_;
}

TicketKey TlsTicketKeys::sealing(Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  rotate(now);
  return current_;
}

std::optional<TlsTicketKeys::Opening> TlsTicketKeys::opening(std::span<const uint8_t, 16> name,
                                                             Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  rotate(now);
  if (std::equal(name.begin(), name.end(), current_.name.begin())) return Opening{current_, true};
  if (previous_ && std::equal(name.begin(), name.end(), previous_->name.begin())) {
    return Opening{*previous_, false};
  }
  return std::nullopt;
}

}  // namespace sluice::l7
