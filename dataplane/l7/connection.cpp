#include "dataplane/l7/connection.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "dataplane/l7/worker_context.h"

namespace sluice::l7 {
namespace {

// One connection with a full socket does not keep the others waiting for longer than this many reads.
constexpr int kReadsPerTurn = 4;
// A frame head that came in two pieces is common and small; memory for more is given back.
constexpr size_t kKeptUnread = 512;

}  // namespace

Connection::Connection(WorkerContext& worker, int fd, std::unique_ptr<TlsSession> tls)
    : worker_(worker),
      transport_(fd, std::move(tls)),
      output_(worker.chunks),
      handshaking_(transport_.tls() != nullptr) {}

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
    if (error == 0) set_interest(EPOLLIN);
    on_connected(error);
    if (closed_ || !handshaking_) return;
  }
  if (handshaking_) {
    handshake();
    return;
  }
  if ((events & EPOLLOUT) != 0) flush();
  if (closed_) return;
  if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0 || transport_.read_wants_room()) read();
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
  set_interest(EPOLLIN);
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

void Connection::read() {
  std::vector<uint8_t>& input = worker_.input;
  for (int turn = 0; !closed_ && (turn < kReadsPerTurn || transport_.input_over()); ++turn) {
    // Behind a frame's beginning there is always room for the rest of it.
    const size_t before = unread_.size();
    if (before != 0) std::memcpy(input.data(), unread_.data(), before);
    size_t bytes = 0;
    const IoStatus status = transport_.read({input.data() + before, WorkerContext::kReadBytes}, bytes);
    if (status == IoStatus::kBlocked) {
      if (transport_.read_wants_room()) set_interest(EPOLLIN | EPOLLOUT);
      return;
    }
    if (status == IoStatus::kClosed) {
      close("closed by the peer");
      return;
    }
    if (status != IoStatus::kDone) {
      close_failed();
      return;
    }
    std::span<const uint8_t> left(input.data(), before + bytes);
    if (closing_) left = {};
    if (!left.empty()) on_input(left);
    if (closed_) return;
    unread_.assign(left.begin(), left.end());
    if (left.empty() && unread_.capacity() > kKeptUnread) std::vector<uint8_t>().swap(unread_);
    if (bytes < WorkerContext::kReadBytes && !transport_.input_over()) return;
  }
}

void Connection::wake_output() {
  if (!linked() && !closed_ && !output_.empty()) worker_.unflushed.push_back(*this);
}

void Connection::flush() {
  unlink();
  if (closed_ || connecting_ || handshaking_) return;
  const IoStatus status = transport_.flush(output_);
  if (status == IoStatus::kFailed) {
    close_failed();
    return;
  }
  const bool blocked = status == IoStatus::kBlocked;
  set_interest(blocked || transport_.read_wants_room() ? EPOLLIN | EPOLLOUT : EPOLLIN);
  if (blocked) {
    was_full_ = true;
    return;
  }
  if (closing_) {
    if (transport_.end_output() == IoStatus::kBlocked) {
      set_interest(EPOLLIN | EPOLLOUT);
      return;
    }
    close("closed");
    return;
  }
  on_drained();
  was_full_ = false;
}

void Connection::close_after_flush() {
  closing_ = true;
  wake_output();
  if (output_.empty()) close("closed");
}

void Connection::close(const char* why) {
  if (closed_) return;
  closed_ = true;
  unlink();
  worker_.loop.remove(transport_.fd(), *this);
  output_.clear();
  on_closed(why);
}

}  // namespace sluice::l7
