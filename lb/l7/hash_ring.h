// Consistent hashing on a ring (Karger et al., "Consistent hashing and random trees", STOC 1997): every
// endpoint has points on a circle, a key belongs to the first point at or behind its hash. An endpoint that
// goes hands only its own keys on.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lb/l7/endpoint.h"
#include "lb/siphash.h"

namespace sluice {

struct RingMember {
  EndpointId id;
  uint32_t weight = 1;  ///< above 0
};

class HashRing {
 public:
  /// Every member gets points in proportion to its weight, at least one: as many as make the ring at least
  /// `min_size`, but at most `max_size` and one more per member. A member's points do not depend on the
  /// others, so rings that differ in a member differ in its points only, as long as points_per_weight() is
  /// the same.
  HashRing(std::span<const RingMember> members, uint32_t min_size, uint32_t max_size, const SipKey& key);

  /// Where a key's search begins; for at().
  uint32_t find(uint64_t hash) const {
    uint32_t point = starts_[hash >> shift_];
    const auto count = static_cast<uint32_t>(points_.size());
    while (point < count && points_[point].hash < hash) ++point;
    return point == count ? 0 : point;
  }
  /// The member, as its index in `members`, at a point.
  uint32_t member(uint32_t point) const { return points_[point].member; }
  uint32_t next(uint32_t point) const { return point + 1 == points_.size() ? 0 : point + 1; }
  uint32_t size() const { return static_cast<uint32_t>(points_.size()); }

  /// How many points a member has per unit of weight, in steps of powers of two: so that a ring is not
  /// redrawn whenever the sum of weights changes a little.
  static double points_per_weight(uint64_t sum_of_weights, uint32_t least_weight, uint32_t min_size,
                                  uint32_t max_size);

 private:
  struct Point {
    uint64_t hash;
    uint32_t member;
  };
  std::vector<Point> points_;     // in the order of their hashes
  std::vector<uint32_t> starts_;  // per leading bits of a hash, the first point at or behind them
  uint32_t shift_ = 63;
};

}  // namespace sluice
