// Wakes the thread that reads rings, without a system call per message: producers call the kernel only if
// that thread has gone to sleep, and only the first of them does.
//
//   while (!stopping) {
//     <read all rings; for a while, pause a few milliseconds and read them again>
//     bell.sleep(time, [&] { return <all rings are empty>; });
//   }
#pragma once

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>

namespace sluice::l7 {

class RingBell {
 public:
  RingBell() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  RingBell(const RingBell&) = delete;
  RingBell& operator=(const RingBell&) = delete;
  ~RingBell() {
    if (fd_ >= 0) close(fd_);
  }

  /// False: no descriptor was left, and the object is not to be used.
  bool good() const { return fd_ >= 0; }

  /// Any thread: there is something to read. Comes after the message's commit().
  void ring() {
    // Either this load sees that the reader sleeps, or the reader's last look sees the message (the two
    // fences cannot both come first). It costs about as much as a miss of the first cache.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (!asleep_.load(std::memory_order_relaxed) || !asleep_.exchange(false, std::memory_order_relaxed))
      return;
    const uint64_t one = 1;
    // It can fail only if the reader is being woken more often than it can count to.
    [[maybe_unused]] const auto written = write(fd_, &one, sizeof(one));
  }

  /// The reader: sleeps until the bell rings, or for `most`; not at all unless `nothing_to_read()` when all
  /// who ring later will be heard.
  template <typename NothingToRead>
  void sleep(std::chrono::milliseconds most, NothingToRead nothing_to_read) {
    asleep_.store(true, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (nothing_to_read()) {
      pollfd waited{fd_, POLLIN, 0};
      poll(&waited, 1, static_cast<int>(most.count()));
    }
    asleep_.store(false, std::memory_order_relaxed);
    uint64_t rung;
    [[maybe_unused]] const auto taken = read(fd_, &rung, sizeof(rung));
  }

 private:
  const int fd_;
  // On a line that nobody writes while the reader is awake.
  alignas(64) std::atomic<bool> asleep_{false};
};

}  // namespace sluice::l7
