#include "dataplane/l7/event_loop.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace sluice::l7 {

Result<std::unique_ptr<EventLoop>> EventLoop::make() {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) return fail(fmt::format("cannot make an epoll descriptor: {}", std::strerror(errno)));
  const int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;  // the loop itself
  if (wake < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, wake, &event) != 0) {
    const int error = errno;
    close(epoll);
    if (wake >= 0) close(wake);
    return fail(fmt::format("cannot make an event descriptor: {}", std::strerror(error)));
  }
  return std::unique_ptr<EventLoop>(new EventLoop(epoll, wake));
}

EventLoop::EventLoop(int epoll, int wake)
    : epoll_(epoll),
      wake_(wake),
      timers_(std::chrono::steady_clock::now()),
      now_(std::chrono::steady_clock::now()) {}

EventLoop::~EventLoop() {
  close(epoll_);
  close(wake_);
}

Result<void> EventLoop::add(int fd, uint32_t events, IoHandler& handler) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &handler;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
    return fail(fmt::format("cannot watch a connection: {}", std::strerror(errno)));
  }
  return {};
}

void EventLoop::change(int fd, uint32_t events, IoHandler& handler) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &handler;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
}

void EventLoop::remove(int fd, IoHandler& handler) {
  epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  if (handling_) removed_.push_back(&handler);
}

void EventLoop::run_once() {
  // What is read in a turn goes on at its end: of a burst, servers have the first part while the rest is
  // read.
  std::array<epoll_event, 64> events;
  const int ready = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()),
                               timers_.sleep_ms(std::chrono::steady_clock::now()));
  now_ = std::chrono::steady_clock::now();
  handling_ = true;
  removed_.clear();
  bool woken = false;
  for (int i = 0; i < ready; ++i) {
    auto* handler = static_cast<IoHandler*>(events[static_cast<size_t>(i)].data.ptr);
    if (handler == nullptr) {
      woken = true;
    } else if (std::find(removed_.begin(), removed_.end(), handler) == removed_.end()) {
      handler->on_ready(events[static_cast<size_t>(i)].events);
    }
  }
  handling_ = false;
  timers_.advance(now_);
  if (woken) run_posted();
}

void EventLoop::post(std::function<void()> call) {
  {
    const std::lock_guard lock(posted_mutex_);
    posted_.push_back(std::move(call));
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_, &one, sizeof(one));
}

void EventLoop::run_posted() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t taken = read(wake_, &count, sizeof(count));
  std::vector<std::function<void()>> calls;
  {
    const std::lock_guard lock(posted_mutex_);
    calls.swap(posted_);
  }
  for (const auto& call : calls) call();
}

}  // namespace sluice::l7
