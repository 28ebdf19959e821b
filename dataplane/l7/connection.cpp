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

Connection::Connection(WorkerContext& worker, int fd)
    : worker_(worker), transport_(fd), output_(worker.chunks) {}

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
    return;
  }
  if ((events & EPOLLOUT) != 0) flush();
  if (!closed_ && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) read();
}

void Connection::read() {
  std::vector<uint8_t>& input = worker_.input;
  for (int turn = 0; turn < kReadsPerTurn && !closed_; ++turn) {
    // Behind a frame's beginning there is always room for the rest of it.
    const size_t before = unread_.size();
    if (before != 0) std::memcpy(input.data(), unread_.data(), before);
    size_t bytes = 0;
    const IoStatus status = transport_.read({input.data() + before, WorkerContext::kReadBytes}, bytes);
    if (status == IoStatus::kBlocked) return;
    if (status != IoStatus::kDone) {
      close(status == IoStatus::kClosed ? "closed by the peer" : "connection lost");
      return;
    }
    std::span<const uint8_t> left(input.data(), before + bytes);
    if (closing_) left = {};
    if (!left.empty()) on_input(left);
    if (closed_) return;
    unread_.assign(left.begin(), left.end());
    if (left.empty() && unread_.capacity() > kKeptUnread) std::vector<uint8_t>().swap(unread_);
    if (bytes < WorkerContext::kReadBytes) return;
  }
}

void Connection::wake_output() {
  if (!linked() && !closed_ && !output_.empty()) worker_.unflushed.push_back(*this);
}

void Connection::flush() {
  unlink();
  if (closed_ || connecting_) return;
  const IoStatus status = transport_.flush(output_);
  if (status == IoStatus::kFailed) {
    close("connection lost");
    return;
  }
  const bool blocked = status == IoStatus::kBlocked;
  set_interest(blocked ? EPOLLIN | EPOLLOUT : EPOLLIN);
  if (blocked) {
    was_full_ = true;
    return;
  }
  if (closing_) {
    transport_.end_output();
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
