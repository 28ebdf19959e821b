// What a client connection is ended for besides frames: time, age, and what it makes the proxy hold.
#include <algorithm>
#include <cstring>

#include "dataplane/l7/client_connection.h"
#include "dataplane/l7/worker_context.h"

namespace sluice::l7 {

void ClientConnection::guard_at(Time due) {
  if (due >= guard_due_ || closed()) return;
  guard_due_ = due;
  const Time now = worker_.loop.now();
  const auto wait =
      due > now ? std::chrono::ceil<std::chrono::milliseconds>(due - now) : std::chrono::milliseconds(0);
  worker_.loop.timers().start(
      guard_timer_, now, wait, [](void* self) { static_cast<ClientConnection*>(self)->on_guard(); }, this);
}

// `progressed`: something that came before is whole. A header block has its time as a whole, in however many
// frames it comes.
void ClientConnection::watch_head(bool progressed, bool waits_for_rest) {
  if (!waits_for_rest || settings().header_timeout.count() == 0) {
    head_since_ = kNever;
    if (settings().keepalive_timeout.count() != 0)
      guard_at(worker_.loop.now() + settings().keepalive_timeout);
    return;
  }
  const uint32_t block = codec_.undecided() ? 0 : codec_.open_header_block();
  if (head_since_ == kNever || (progressed && (block == 0 || block != watched_block_))) {
    head_since_ = worker_.loop.now();
    guard_at(head_since_ + settings().header_timeout);
  }
  watched_block_ = block;
}

void ClientConnection::on_write_blocked() {
  if (settings().stall_timeout.count() != 0) guard_at(worker_.loop.now() + settings().stall_timeout);
}

// One timer for all: it is set to the first that can be due, and asks again what is. So none of this costs a
// request anything.
void ClientConnection::on_guard() {
  guard_due_ = kNever;
  const Time now = worker_.loop.now();
  const ListenerSettings& limits = settings();
  if (head_since_ != kNever) {
    if (head_since_ + limits.header_timeout <= now) {
      end_for(Defence::kSlowHeaders);
      return;
    }
    guard_at(head_since_ + limits.header_timeout);
  }
  if (write_blocked() && limits.stall_timeout.count() != 0) {
    if (write_blocked_since() + limits.stall_timeout <= now) {
      end_for(Defence::kStalledClient);
      return;
    }
    guard_at(write_blocked_since() + limits.stall_timeout);
  }
  if (limits.keepalive_timeout.count() != 0) {
    Time due = now + limits.keepalive_timeout;
    if (codec_.open_streams() == 0) {
      due = active_at_ + limits.keepalive_timeout;
      if (due <= now && idle()) {
        note(Defence::kIdleClient);
        drain();
        due = now + limits.keepalive_timeout;
      }
    }
    guard_at(std::max(due, now + TimerWheel::kTick));
  }
  if (age_due_ <= now) {
    age_due_ = kNever;
    retire(Defence::kClientAge);
  } else {
    guard_at(age_due_);
  }
}

void ClientConnection::end_for(Defence why) {
  if (closed()) return;
  note(why);
  if (why == Defence::kSlowHeaders && answer_slow_head()) return;
  const char* const words = text_of(why).words.data();
  // A frame that has gone in part cannot be followed by another one, and who does not read learns nothing.
  if (handshaking() || !codec_.is_http2() || write_blocked()) {
    abort(words);
    return;
  }
  drop_streams();
  if (closed()) return;
  codec_.goaway(Http2Error::kEnhanceYourCalm, words);
  close_after_flush();
  flush();
  if (!closed() && write_blocked()) abort(words);
}

// HTTP/1.1 alone has an answer for who has begun a head, and none for who has not: that one asked for
// nothing.
bool ClientConnection::answer_slow_head() {
  if (codec_.undecided() || codec_.is_http2() || !has_unread() || write_blocked()) return false;
  if (!codec_.http1().time_out_head()) return false;
  close_after_flush();
  return true;
}

void ClientConnection::weigh() {
  if (closed()) return;
  if (account().over()) {
    end_for(Defence::kClientMemory);
  } else if (codec_.is_http2()) {
    codec_.http2().withhold_window(account().tight());
    wake_output();
  }
}

}  // namespace sluice::l7
