#include "lb/l7/hash_ring.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

namespace sluice {
namespace {

uint64_t point_hash(const EndpointId& id, uint64_t number, const SipKey& key) {
  std::array<uint64_t, 4> words{};
  std::memcpy(words.data(), id.address.bytes().data(), 16);
  words[2] = uint64_t{id.port} << 8 | static_cast<uint64_t>(id.address.family());
  words[3] = number;
  return siphash<1, 3>(key, std::span<const uint64_t>(words));
}

}  // namespace

double HashRing::points_per_weight(uint64_t sum_of_weights, uint32_t least_weight, uint32_t min_size,
                                   uint32_t max_size) {
  const auto sum = static_cast<double>(sum_of_weights);
  // One point for the lightest, and enough for the ring's least size; a power of two.
  double points = std::exp2(std::ceil(std::log2(std::max(1.0 / least_weight, min_size / sum))));
  while (points * sum > max_size) points /= 2;
  return points;
}

HashRing::HashRing(std::span<const RingMember> members, uint32_t min_size, uint32_t max_size,
                   const SipKey& key) {
  uint64_t sum = 0;
  uint32_t least = kMaxEndpointWeight;
  for (const RingMember& m : members) {
    sum += m.weight;
    least = std::min(least, m.weight);
  }
  const double per_weight = points_per_weight(sum, least, min_size, max_size);
  for (uint32_t i = 0; i < members.size(); ++i) {
    const auto count = std::max<uint64_t>(1, static_cast<uint64_t>(per_weight * members[i].weight));
    for (uint64_t number = 0; number < count; ++number) {
      points_.push_back({point_hash(members[i].id, number, key), i});
    }
  }
  // Two points with one hash: 2^-64 per pair; the order of identities decides, as that of `members` does not
  // count.
  std::ranges::sort(points_, [&](const Point& a, const Point& b) {
    return a.hash != b.hash ? a.hash < b.hash : members[a.member].id < members[b.member].id;
  });

  // One start per point on average, so that find() looks at a point or two.
  const auto bits = std::max(1u, static_cast<uint32_t>(std::bit_width(points_.size() - 1)));
  shift_ = 64 - bits;
  starts_.resize(size_t{1} << bits);
  uint32_t point = 0;
  for (uint64_t start = 0; start < starts_.size(); ++start) {
    while (point < points_.size() && points_[point].hash < start << shift_) ++point;
    starts_[start] = point;
  }
}

}  // namespace sluice
