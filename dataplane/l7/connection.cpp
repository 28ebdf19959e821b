#include "dataplane/l7/connection.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "dataplane/l7/connection_view.h"
#include "dataplane/l7/worker_context.h"

namespace sluice::l7 {
namespace {

// One connection with a full socket does not keep the others waiting for longer than this many reads.
constexpr int kReadsPerTurn = 4;
// How long a peer may take to notice that it has been told everything.
constexpr std::chrono::milliseconds kLinger{1000};
// A frame head that came in two pieces is common and small; memory for more is given back.
constexpr size_t kKeptUnread = 512;
// How long a peer that is told to go may take to read what is left for it.
constexpr std::chrono::milliseconds kLongestFlush{60'000};
// What OpenSSL holds for a connection that waits, with buffers released (14 KB each of 1 000 idle
// clients, TLS 1.3, OpenSSL 3.0).
constexpr size_t kTlsSessionBytes = 16 * 1024;

}  // namespace

Connection::Connection(WorkerContext& worker, int fd, WireBytes& bytes, std::unique_ptr<TlsSession> tls)
    : worker_(worker),
      account_(worker.memory, this),
      transport_(fd, std::move(tls)),
      bytes_(bytes),
      output_(worker.chunks, &account_),
      opened_at_(worker.loop.now()),
      handshaking_(transport_.tls() != nullptr) {
  if (handshaking_) account_.add(kTlsSessionBytes);
}

Connection::~Connection() {
  if (transport_.tls() != nullptr) account_.subtract(kTlsSessionBytes);
  account_.subtract(held_ + unread_held_);
}

bool Connection::watch(bool connecting) {
  connecting_ = connecting;
  interest_ = connecting ? EPOLLOUT : EPOLLIN;
  return worker_.loop.add(transport_.fd(), interest_, *this).has_value();
}

void Connection::set_interest(uint32_t events) {
  if (interest_ == events) return;
  interest_ = events;
  worker_.loop.change(transport_.fd(), events, *this);
}

void Connection::on_ready(uint32_t events) {
  if (closed_) return;
  if (connecting_) {
    connecting_ = false;
    const int error = transport_.connect_result();
    if (error == 0) update_interest();
    on_connected(error);
    if (closed_ || !handshaking_) return;
  }
  if (handshaking_) {
    handshake();
    return;
  }
  if ((events & EPOLLOUT) != 0) flush();
  if (closed_) return;
  if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) == 0 && !transport_.read_wants_room()) return;
  // Nothing is read that nobody wants, but a connection that has failed must not wake us for ever.
  if ((!reading_ || input_ended_) && (events & (EPOLLERR | EPOLLHUP)) != 0) {
    close("connection lost");
    return;
  }
  read();
}

void Connection::describe(ConnectionView& view) const {
  view.state = connecting_ ? "connecting" : handshaking_ ? "handshake" : closing_ ? "closing" : "open";
  if (const TlsSession* session = tls(); session != nullptr && session->established()) {
    view.tls = session->version();
    view.server_name = session->server_name();
  }
  view.age = worker_.loop.now() - opened_at_;
  view.bytes_in = bytes_in_;
  view.bytes_out = bytes_out_;
}

void Connection::handshake() {
  TlsSession& tls = *transport_.tls();
  const IoStatus status = tls.handshake();
  if (status == IoStatus::kBlocked) {
    set_interest(tls.wants_room() ? EPOLLOUT : EPOLLIN);
    return;
  }
  if (status != IoStatus::kDone) {
    close_failed();
    return;
  }
  handshaking_ = false;
  update_interest();
  TlsCounters& counters = worker_.tls_counters(tls.role());
  counters.handshakes.add(1);
  if (tls.resumed()) counters.resumed.add(1);
  on_handshake_done(tls.protocol());
  wake_output();
}

void Connection::time_out_handshake() {
  transport_.tls()->give_up();
  close_failed();
}

// Says why, if TLS knows.
void Connection::close_failed() {
  const TlsSession* tls = transport_.tls();
  if (tls == nullptr || tls->failure() == TlsFailure::kNone) {
    close("connection lost");
    return;
  }
  worker_.tls_counters(tls->role()).failures[static_cast<size_t>(tls->failure())].add(1);
  close(tls_failure_words(tls->failure()));
}

void Connection::update_interest() {
  const bool in = reading_ && !input_ended_;
  const bool out = write_blocked_ || transport_.read_wants_room();
  set_interest((in ? static_cast<uint32_t>(EPOLLIN) : 0u) | (out ? static_cast<uint32_t>(EPOLLOUT) : 0u));
}

void Connection::read() {
  if (unread_due_) {  // what was left comes first
    flush();
    return;
  }
  std::vector<uint8_t>& input = worker_.input;
  // At the memory limit nothing is let grow faster than it can be weighed.
  const int turns = worker_.memory.level() == MemoryLevel::kFull ? 1 : kReadsPerTurn;
  for (int turn = 0; !closed_ && reading_ && !input_ended_ && (turn < turns || transport_.input_over());
       ++turn) {
    // Behind a frame's beginning there is always room for the rest of it.
    const size_t before = unread_.size();
    if (before != 0) std::memcpy(input.data(), unread_.data(), before);
    size_t bytes = 0;
    const IoStatus status = transport_.read({input.data() + before, WorkerContext::kReadBytes}, bytes);
    if (status == IoStatus::kBlocked) {
      update_interest();
      return;
    }
    if (status == IoStatus::kClosed) {
      input_ended_ = true;
      if (closing_ || !on_end_of_input()) close("closed by the peer");
      if (!closed_) update_interest();
      return;
    }
    if (status != IoStatus::kDone) {
      close_failed();
      return;
    }
    bytes_.received.add(bytes);
    bytes_in_ += bytes;
    offer({input.data(), before + bytes});
    if (bytes < WorkerContext::kReadBytes && !transport_.input_over()) return;
  }
}

void Connection::offer(std::span<const uint8_t> input) {
  if (closing_) input = {};
  if (!input.empty()) on_input(input);
  if (closed_) return;
  if (closing_) input = {};
  keep_unread(input);
  worker_.memory.settle(worker_.kept_bytes());
}

void Connection::keep_unread(std::span<const uint8_t> input) {
  unread_.assign(input.begin(), input.end());
  if (input.empty() && unread_.capacity() > kKeptUnread) std::vector<uint8_t>().swap(unread_);
  account_.change(unread_held_, unread_.capacity());
  unread_held_ = unread_.capacity();
}

void Connection::read_on(bool wanted) {
  if (reading_ == wanted || closed_) return;
  reading_ = wanted;
  unread_due_ = wanted && (!unread_.empty() || transport_.input_over());
  if (unread_due_ && !linked()) worker_.unflushed.push_back(*this);
  if (!connecting_ && !handshaking_) update_interest();
}

void Connection::wake_output() {
  if (!linked() && !closed_ && !output_.empty()) worker_.unflushed.push_back(*this);
}

void Connection::flush() {
  unlink();
  if (closed_ || connecting_ || handshaking_) return;
  if (unread_due_) {
    unread_due_ = false;
    // on_input() may leave bytes, which are put where these are.
    std::vector<uint8_t> unread;
    unread.swap(unread_);
    offer(unread);
    // The socket does not announce an end that was met behind data.
    if (transport_.input_over()) read();
    if (closed_) return;
    unlink();
  }
  const size_t before = output_.size();
  const IoStatus status = transport_.flush(output_);
  bytes_.sent.add(before - output_.size());
  bytes_out_ += before - output_.size();
  if (status == IoStatus::kFailed) {
    close_failed();
    return;
  }
  const bool was_blocked = write_blocked_;
  write_blocked_ = status == IoStatus::kBlocked;
  if (!write_blocked_) {
    finish_output();
  } else if (!was_blocked || output_.size() < before) {
    write_blocked_since_ = worker_.loop.now();
    if (!was_blocked) on_write_blocked();
  }
  if (!closed_) update_interest();
}

// All is sent.
void Connection::finish_output() {
  if (closing_ || ending_output_) {
    if (!output_ended_) {
      const IoStatus ended = transport_.end_output();
      write_blocked_ = ended == IoStatus::kBlocked;
      if (write_blocked_) return;
      output_ended_ = true;
    }
    if (!closing_) return;
    if (input_ended_) {
      close("closed");
      return;
    }
    reading_ = true;
    if (std::exchange(lingering_, true)) return;
    worker_.loop.timers().start(
        linger_timer_, worker_.loop.now(), kLinger,
        [](void* self) { static_cast<Connection*>(self)->close("closed"); }, this);
    return;
  }
  on_drained();
}

void Connection::end_output_after_flush() {
  if (ending_output_) return;
  ending_output_ = true;
  if (output_.empty() && !connecting_ && !handshaking_) {
    finish_output();
  } else {
    wake_output();
  }
}

void Connection::close_after_flush() {
  if (closing_ || closed_) return;
  closing_ = true;
  // What follows the end of a connection is not kept. Requests that came ahead are more than there is room
  // for in front of a read, and it does read on.
  keep_unread({});
  if (connecting_ || handshaking_) {
    close("closed");
  } else if (output_.empty()) {
    finish_output();
    if (!closed_) update_interest();
  } else {
    worker_.loop.timers().start(
        linger_timer_, worker_.loop.now(), kLongestFlush,
        [](void* self) { static_cast<Connection*>(self)->close("did not read its last bytes"); }, this);
    wake_output();
  }
}

void Connection::abort(const char* why) {
  transport_.abort();
  close(why);
}

void Connection::close(const char* why) {
  if (closed_) return;
  closed_ = true;
  linger_timer_.stop();
  unlink();
  worker_.loop.remove(transport_.fd(), *this);
  output_.clear();
  on_closed(why);
}

}  // namespace sluice::l7
