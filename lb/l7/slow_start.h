// How much of its weight an endpoint has that has just appeared: caches are cold, connections not yet open.
#pragma once

#include <algorithm>
#include <cmath>

#include "lb/l7/endpoint.h"
#include "lb/l7/pick_settings.h"

namespace sluice {

/// The factor of the weight, min_weight_percent / 100 .. 1, at `now` of an endpoint that is there since
/// `since`: (elapsed / window) ^ (1 / aggression), but at least the minimum.
inline double slow_start_factor(const SlowStart& settings, PickTime since, PickTime now) {
  if (settings.window.count() <= 0 || now >= since + settings.window) return 1.0;
  using Seconds = std::chrono::duration<double>;
  const double passed = std::max(0.0, Seconds(now - since) / Seconds(settings.window));
  const double grown = settings.aggression == 1.0 ? passed : std::pow(passed, 1.0 / settings.aggression);
  return std::clamp(grown, settings.min_weight_percent / 100.0, 1.0);
}

}  // namespace sluice
