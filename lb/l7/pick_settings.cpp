#include "lb/l7/pick_settings.h"

#include <fmt/format.h>

namespace sluice {

Result<void> check_pick_settings(const PickSettings& s) {
  // Written so that a NaN is refused too.
  if (s.slow_start.window.count() < 0)
    return fail("slow_start.window: a negative time; 0 or more is accepted");
  if (!(s.slow_start.aggression > 0)) {
    return fail(fmt::format("slow_start.aggression: {} is not above 0", s.slow_start.aggression));
  }
  if (!(s.slow_start.min_weight_percent >= 1 && s.slow_start.min_weight_percent <= 100)) {
    return fail(
        fmt::format("slow_start.min_weight_percent: {} is not in 1..100", s.slow_start.min_weight_percent));
  }
  if (s.choices < 2 || s.choices > kMaxChoices) {
    return fail(fmt::format("choices: {} is not in 2..{}", s.choices, kMaxChoices));
  }
  if (s.ring_max == 0 || s.ring_max > kMaxRingSize) {
    return fail(fmt::format("ring_max: {} is not in 1..{}", s.ring_max, kMaxRingSize));
  }
  if (s.ring_min > s.ring_max) {
    return fail(fmt::format("ring_min: {} is above ring_max, {}", s.ring_min, s.ring_max));
  }
  if (s.policy == PickPolicy::kMaglev) {
    if (auto accepted = check_maglev_size(s.maglev_size); !accepted) {
      return fail("maglev_size: " + accepted.error().message);
    }
  }
  if (s.ewma_decay.count() <= 0) return fail("ewma_decay: must be above 0");
  if (!(s.overprovisioning >= 1)) {
    return fail(fmt::format("overprovisioning: {} is below 1", s.overprovisioning));
  }
  if (s.panic_percent > 100) return fail(fmt::format("panic_percent: {} is not in 0..100", s.panic_percent));
  return {};
}

}  // namespace sluice
