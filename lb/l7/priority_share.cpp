#include "lb/l7/priority_share.h"

#include <algorithm>

namespace sluice {
namespace {

double capacity(const LevelHealth& level, double overprovisioning) {
  return level.total == 0 ? 0.0 : std::min(1.0, overprovisioning * level.available / level.total);
}

bool in_panic(const LevelHealth& level, uint32_t panic_percent) {
  const uint32_t wanted = level.total - level.draining;  // a drain is no sign of a broken check
  return wanted > 0 && uint64_t{level.available} * 100 < uint64_t{wanted} * panic_percent;
}

}  // namespace

std::vector<LevelShare> share_levels(std::span<const LevelHealth> levels, double overprovisioning,
                                     uint32_t panic_percent) {
  std::vector<LevelShare> shares(levels.size());
  double carried = 0;
  for (const LevelHealth& level : levels) carried += capacity(level, overprovisioning);

  if (carried < 1) {
    uint64_t panicking = 0;  // endpoints of levels in panic that do not drain
    bool some_calm = false;  // a level that has endpoints and is not in panic
    for (size_t i = 0; i < levels.size(); ++i) {
      shares[i].panic = in_panic(levels[i], panic_percent);
      if (shares[i].panic) {
        panicking += levels[i].total - levels[i].draining;
      } else if (levels[i].available > 0) {
        some_calm = true;
      }
    }
    if (panicking > 0 && !some_calm) {
      for (size_t i = 0; i < levels.size(); ++i) {
        if (!shares[i].panic) continue;
        shares[i].share =
            static_cast<double>(levels[i].total - levels[i].draining) / static_cast<double>(panicking);
      }
      return shares;
    }
  }
  if (carried <= 0) return shares;
  const double whole = std::min(1.0, carried);
  double left = 1;
  for (size_t i = 0; i < levels.size(); ++i) {
    shares[i].share = std::min(left, capacity(levels[i], overprovisioning) / whole);
    left -= shares[i].share;
  }
  return shares;
}

}  // namespace sluice
