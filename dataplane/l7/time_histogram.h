// How long something took, counted in buckets. One worker counts, anybody reads.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "lb/counter.h"

namespace sluice::l7 {

/// Upper bounds of the buckets, in seconds.
inline constexpr std::array<double, 14> kSecondsBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                          0.25,  0.5,    1,     2.5,  5,     10,   60};
inline constexpr size_t kSecondsBuckets = kSecondsBounds.size() + 1;  ///< the last: above all bounds

/// A time and its bucket: found once, counted in several histograms.
struct CountedTime {
  explicit CountedTime(std::chrono::nanoseconds time)
      : nanoseconds(static_cast<uint64_t>(std::max<int64_t>(time.count(), 0))) {
    // From below: nearly all requests end in the first few buckets.
    while (bucket < kSecondsBounds.size() && nanoseconds > kNanosecondsBounds[bucket]) ++bucket;
  }
  uint64_t nanoseconds;
  size_t bucket = 0;

 private:
  static constexpr std::array<uint64_t, kSecondsBounds.size()> kNanosecondsBounds = [] {
    std::array<uint64_t, kSecondsBounds.size()> bounds{};
    for (size_t i = 0; i < bounds.size(); ++i)
      bounds[i] = static_cast<uint64_t>(kSecondsBounds[i] * 1e9 + 0.5);
    return bounds;
  }();
};

struct TimeHistogram {
  Counter nanoseconds;  ///< their sum
  std::array<Counter, kSecondsBuckets> buckets;

  void count(const CountedTime& time) {
    nanoseconds.add(time.nanoseconds);
    buckets[time.bucket].add(1);
  }
};
static_assert(sizeof(TimeHistogram) == 128, "two cache lines");

}  // namespace sluice::l7
