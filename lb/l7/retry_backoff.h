// How long a retry waits: twice as long each time, and anywhere in that time, so that clients that failed
// together do not come back together (Brooker, "Exponential backoff and jitter", 2015: "full jitter").
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "lb/l7/random.h"

namespace sluice {

struct RetryBackoff {
  std::chrono::milliseconds base{25};
  std::chrono::milliseconds max{250};
  friend bool operator==(const RetryBackoff&, const RetryBackoff&) = default;
};

/// The wait before retry number `retry` (1, 2, ...): from 0, included, to min(max, base * 2^(retry - 1)),
/// excluded.
inline std::chrono::nanoseconds retry_wait(const RetryBackoff& settings, uint32_t retry, Random& random) {
  const std::chrono::nanoseconds max = settings.max;
  std::chrono::nanoseconds most = std::min<std::chrono::nanoseconds>(settings.base, max);
  for (uint32_t i = 1; i < retry && most < max; ++i) most = std::min(most * 2, max);
  if (most.count() <= 0) return std::chrono::nanoseconds(0);
  return std::chrono::nanoseconds(random.below(static_cast<uint64_t>(most.count())));
}

}  // namespace sluice
