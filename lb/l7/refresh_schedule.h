// When a name server, or whoever else knows a cluster's endpoints, is asked again. Pure: time to live and
// failures in, a wait out.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "lb/l7/random.h"

namespace sluice {

struct RefreshSettings {
  std::chrono::milliseconds min_refresh{5'000};  ///< of a good answer, whatever its time to live
  std::chrono::milliseconds max_refresh{300'000};
  std::chrono::milliseconds failure_base{1'000};
  std::chrono::milliseconds failure_max{30'000};
  friend bool operator==(const RefreshSettings&, const RefreshSettings&) = default;
};

/// How long to wait after an answer that was good for `ttl` (RFC 1035 section 3.2.1): so long, within the
/// bounds, and up to a tenth longer, so that proxies that started together do not ask together for ever.
inline std::chrono::nanoseconds refresh_wait(const RefreshSettings& settings, std::chrono::seconds ttl,
                                             Random& random) {
  const std::chrono::nanoseconds min = settings.min_refresh;
  const std::chrono::nanoseconds max = std::max<std::chrono::nanoseconds>(min, settings.max_refresh);
  // Compared in seconds first: a time to live may be 68 years, in nanoseconds more than a wait should be.
  const std::chrono::nanoseconds wait =
      ttl > settings.max_refresh ? max : std::clamp<std::chrono::nanoseconds>(ttl, min, max);
  return wait + std::chrono::nanoseconds(random.below(static_cast<uint64_t>(wait.count()) / 10 + 1));
}

/// How long to wait after failure number `failures` in a row (1, 2, ...): twice as long each time up to
/// failure_max, and from a half of that to all of it.
inline std::chrono::nanoseconds failure_wait(const RefreshSettings& settings, uint32_t failures,
                                             Random& random) {
  const std::chrono::nanoseconds max = settings.failure_max;
  std::chrono::nanoseconds most = std::min<std::chrono::nanoseconds>(settings.failure_base, max);
  for (uint32_t i = 1; i < failures && most < max; ++i) most = std::min(most * 2, max);
  const auto half = static_cast<uint64_t>(most.count()) / 2;
  return std::chrono::nanoseconds(half + random.below(half + 1));
}

}  // namespace sluice
