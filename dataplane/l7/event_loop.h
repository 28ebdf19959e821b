// One thread's epoll loop: readiness of descriptors, timers, and calls posted by other threads.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "dataplane/l7/timer_wheel.h"
#include "lb/result.h"

namespace sluice::l7 {

/// Who is told that a descriptor is ready; once per wake-up and descriptor, never per request.
class IoHandler {
 public:
  virtual ~IoHandler() = default;
  /// `events` as epoll_wait() gives them: EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP.
  virtual void on_ready(uint32_t events) = 0;
};

class EventLoop {
 public:
  static Result<std::unique_ptr<EventLoop>> make();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();

  /// Level-triggered interest in `events` (EPOLLIN, EPOLLOUT). Errors: descriptor or memory limits.
  Result<void> add(int fd, uint32_t events, IoHandler& handler);
  /// Changes the interest of a descriptor that was added.
  void change(int fd, uint32_t events, IoHandler& handler);
  /// Ends it. No call for this handler follows, also none of the wake-up under way.
  void remove(int fd, IoHandler& handler);

  /// Waits for events, at most until the next timer, and handles them, then timers and posted calls.
  void run_once();
  /// Runs `call` on the loop's thread. From any thread; wakes the loop.
  void post(std::function<void()> call);

  TimerWheel& timers() { return timers_; }
  /// The time of the last wake-up.
  std::chrono::steady_clock::time_point now() const { return now_; }

 private:
  EventLoop(int epoll, int wake);
  void run_posted();

  int epoll_;
  int wake_;
  TimerWheel timers_;
  std::chrono::steady_clock::time_point now_;
  std::vector<IoHandler*> removed_;  // during this wake-up
  bool handling_ = false;
  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;
};

}  // namespace sluice::l7
