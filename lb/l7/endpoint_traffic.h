// What the workers count of one endpoint beside the requests open there and how they ended, and why the last
// connection to it failed.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "lb/counter.h"

namespace sluice {

/// A worker's own: a cache line that it alone writes.
struct alignas(64) EndpointCounters {
  Counter connections_made;  ///< and being made
  Counter connections_over;
  Counter connect_failures;
  Counter answers;                 ///< whose head has come
  Counter first_byte_nanoseconds;  ///< from a whole request sent to that head, their sum
};
static_assert(sizeof(EndpointCounters) == 64);

struct ConnectFailure {
  std::string why;
  std::chrono::system_clock::time_point at;
};

class EndpointTraffic {
 public:
  explicit EndpointTraffic(uint32_t workers)
      : worker_count_(workers), workers_(std::make_unique<EndpointCounters[]>(workers)) {}

  EndpointCounters& of(uint32_t worker) { return workers_[worker]; }
  /// The sum of `value(counters)` over all workers. From any thread.
  template <typename Value>
  uint64_t sum(Value value) const {
    uint64_t sum = 0;
    for (uint32_t w = 0; w < worker_count_; ++w) sum += value(workers_[w]);
    return sum;
  }

  /// No connection came about. Any thread; the lock is for a moment, and not on a request's way.
  void note_connect_failure(std::string_view why, std::chrono::system_clock::time_point at) {
    const std::lock_guard lock(mutex_);
    last_failure_ = ConnectFailure{std::string(why), at};
  }
  /// Why the last attempt that failed did. Any thread.
  std::optional<ConnectFailure> last_connect_failure() const {
    const std::lock_guard lock(mutex_);
    return last_failure_;
  }

 private:
  const uint32_t worker_count_;
  const std::unique_ptr<EndpointCounters[]> workers_;
  mutable std::mutex mutex_;
  std::optional<ConnectFailure> last_failure_;
};

}  // namespace sluice
