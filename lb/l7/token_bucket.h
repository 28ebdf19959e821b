// A rate limit that all workers share: so many per second, and a burst. One 64-bit word: instead of tokens it
// keeps the time at which the bucket will be full again (the generic cell rate algorithm, ITU-T I.371), so
// nothing has to be filled up and a take is one compare-and-exchange.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

namespace sluice {

struct RateLimit {
  double per_second = 0;  ///< above 0, at most 1 000 000
  uint32_t burst = 1;     ///< at least 1: how many may come at one moment
  friend bool operator==(const RateLimit&, const RateLimit&) = default;
};
inline constexpr double kMaxRatePerSecond = 1e6;

class TokenBucket {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// A full bucket. The rate is kept as whole nanoseconds per token: exact to 0.05 % at the largest rate.
  explicit TokenBucket(const RateLimit& limit)
      : per_token_(std::max<int64_t>(1, static_cast<int64_t>(1e9 / limit.per_second + 0.5))),
        burst_(per_token_ * limit.burst) {}

  /// Takes a token if there is one. Any worker.
  bool try_take(Time now) {
    const int64_t at = nanoseconds(now);
    int64_t full_at = full_at_.load(std::memory_order_relaxed);
    int64_t next = 0;
    do {
      next = std::max(full_at, at) + per_token_;
      if (next - at > burst_) return false;
    } while (!full_at_.compare_exchange_weak(full_at, next, std::memory_order_relaxed));
    return true;
  }

  /// How long until there is one; 0: now.
  std::chrono::nanoseconds wait(Time now) const {
    const int64_t next = std::max(full_at_.load(std::memory_order_relaxed), nanoseconds(now)) + per_token_;
    return std::chrono::nanoseconds(std::max<int64_t>(0, next - burst_ - nanoseconds(now)));
  }
  /// Whole tokens in the bucket.
  uint32_t available(Time now) const {
    const int64_t missing = std::max<int64_t>(0, full_at_.load(std::memory_order_relaxed) - nanoseconds(now));
    return static_cast<uint32_t>((burst_ - missing) / per_token_);
  }

 private:
  static int64_t nanoseconds(Time time) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
  }
  const int64_t per_token_;
  const int64_t burst_;  // time that fills an empty bucket
  std::atomic<int64_t> full_at_{0};
};

}  // namespace sluice
