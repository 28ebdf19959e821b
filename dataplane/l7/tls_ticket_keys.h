// The keys that session tickets are sealed with (RFC 5077, RFC 8446 section 4.6.1), shared by all workers: a
// client may come back to any of them. In memory only, and new ones come with time, so that a key that leaks
// opens the sessions of two lifetimes and no more.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>

namespace sluice::l7 {

struct TicketKey {
  std::array<uint8_t, 16> name;    ///< in the ticket, in clear
  std::array<uint8_t, 32> cipher;  ///< AES-256-CBC
  std::array<uint8_t, 32> mac;     ///< HMAC-SHA-256
};

/// Safe to use from several threads: a handshake takes the lock once, and costs a thousand times as much.
class TlsTicketKeys {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kLifetime = std::chrono::hours(8);

  /// A key seals tickets for one `lifetime` and opens them for one more: each ticket is good for a lifetime.
  explicit TlsTicketKeys(Clock::time_point now, std::chrono::seconds lifetime = kLifetime);

  /// The keys for another process, which goes on where this one is.
  struct State {
    TicketKey current;
    std::optional<TicketKey> previous;
    std::chrono::milliseconds age;  ///< how long ago `current` came into use
  };
  TlsTicketKeys(const State& state, Clock::time_point now, std::chrono::seconds lifetime = kLifetime);
  State state(Clock::time_point now);

  TlsTicketKeys(const TlsTicketKeys&) = delete;
  TlsTicketKeys& operator=(const TlsTicketKeys&) = delete;
  ~TlsTicketKeys();

  std::chrono::seconds lifetime() const { return lifetime_; }
  /// The key for a new ticket.
  TicketKey sealing(Clock::time_point now);

  struct Opening {
    TicketKey key;
    bool current;  ///< or the client is to get a newer ticket
  };
  /// The key that a ticket names; nothing if it is too old, or never was one of ours.
  std::optional<Opening> opening(std::span<const uint8_t, 16> name, Clock::time_point now);

 private:
  void rotate(Clock::time_point now);

  const std::chrono::seconds lifetime_;
  std::mutex mutex_;
  Clock::time_point since_;
  TicketKey current_;
  std::optional<TicketKey> previous_;
};

}  // namespace sluice::l7
