// How requests are shared between priority levels: the first takes all it can carry, the next the rest.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace sluice {

/// The endpoints of one level, of those with a weight.
struct LevelHealth {
  uint32_t total = 0;
  uint32_t available = 0;
  uint32_t draining = 0;
};

struct LevelShare {
  double share = 0;    ///< 0..1 of all requests; the sum over levels is 1, or 0 if no level can take any
  bool panic = false;  ///< its requests go to all that do not drain, available or not
};

/// Shares of `levels`, the preferred one first. A level can carry min(1, overprovisioning * available /
/// total) of all requests; it is given as much of the rest as it can carry. If all levels together cannot
/// carry everything, each is given in proportion to what it can, and a level where less than panic_percent of
/// those that do not drain are available is in panic. If all levels are in panic they share by the number of
/// those that do not drain. panic_percent 0: no panic.
std::vector<LevelShare> share_levels(std::span<const LevelHealth> levels, double overprovisioning,
                                     uint32_t panic_percent);

}  // namespace sluice
