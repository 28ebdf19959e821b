#include "lb/l7/hash_ring.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "lb/l7/random.h"

namespace sluice {
namespace {

constexpr SipKey kKey = cluster_key("ring test");

std::vector<RingMember> members_of(const std::vector<uint32_t>& weights) {
  std::vector<RingMember> members;
  for (size_t i = 0; i < weights.size(); ++i) {
    members.push_back(
        {{IpAddress::v4(10, 0, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)), 80}, weights[i]});
  }
  return members;
}

std::vector<double> shares(const HashRing& ring, size_t members) {
  constexpr int kKeys = 200'000;
  Random random(1);
  std::vector<double> counts(members);
  for (int i = 0; i < kKeys; ++i) counts[ring.member(ring.find(random()))] += 1.0 / kKeys;
  return counts;
}

TEST(HashRing, FindsTheFirstPointAtOrBehindAHash) {
  const HashRing ring(members_of({1, 1, 1}), 16, 1024, kKey);
  // Stepping through hashes meets the points in their order, and wraps once.
  uint32_t before = ring.find(0);
  EXPECT_EQ(before, 0u);
  uint32_t met = 1;
  for (uint64_t i = 1; i < (1u << 16); ++i) {
    const uint32_t point = ring.find(i << 48);
    if (point == before) continue;
    EXPECT_EQ(point, ring.next(before));
    before = point;
    ++met;
  }
  EXPECT_GE(met, ring.size());
  EXPECT_EQ(ring.find(~uint64_t{0}), 0u);
}

TEST(HashRing, SharesFollowWeights) {
  const std::vector<uint32_t> weights = {1, 2, 4, 8};
  const HashRing ring(members_of(weights), 1u << 15, 1u << 17, kKey);
  const auto got = shares(ring, 4);
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(got[i] * 15 / weights[i], 1.0, 0.08) << i;
}

TEST(HashRing, SizeIsBounded) {
  EXPECT_GE(HashRing(members_of({1}), 1024, 4096, kKey).size(), 1024u);
  EXPECT_LE(HashRing(members_of({1}), 1024, 4096, kKey).size(), 2048u);
  EXPECT_LE(HashRing(members_of({65535, 1, 1}), 1024, 4096, kKey).size(), 4096u + 3);
  EXPECT_GE(HashRing(members_of({65535, 1, 1}), 1024, 4096, kKey).size(), 2048u);
  EXPECT_EQ(HashRing(members_of({1, 1, 1, 1, 1}), 1, 1, kKey).size(), 5u);
  // The lightest has a point of its own where there is room.
  EXPECT_EQ(HashRing(members_of({1000, 1}), 1, 1u << 20, kKey).size(), 1001u);
}

TEST(HashRing, AMemberThatGoesHandsOnOnlyItsOwnKeys) {
  const auto all = members_of(std::vector<uint32_t>(10, 3));
  const HashRing before(all, 4096, 65536, kKey);
  auto fewer = all;
  fewer.erase(fewer.begin() + 4);
  const HashRing after(fewer, 4096, 65536, kKey);
  Random random(2);
  int moved = 0;
  for (int i = 0; i < 100'000; ++i) {
    const uint64_t hash = random();
    const uint32_t old_member = before.member(before.find(hash));
    const EndpointId owner = fewer[after.member(after.find(hash))].id;
    if (old_member == 4) {
      ++moved;
    } else {
      EXPECT_EQ(owner, all[old_member].id);
    }
  }
  EXPECT_NEAR(moved, 10'000, 1'500);
}

TEST(HashRing, DoesNotDependOnTheOrderOfMembers) {
  auto members = members_of({1, 2, 3});
  const HashRing forward(members, 256, 4096, kKey);
  std::swap(members[0], members[2]);
  const HashRing backward(members, 256, 4096, kKey);
  Random random(3);
  for (int i = 0; i < 10'000; ++i) {
    const uint64_t hash = random();
    EXPECT_EQ(forward.member(forward.find(hash)), 2 - backward.member(backward.find(hash)));
  }
}

TEST(HashRing, EndpointsOfOneAddressAreDifferent) {
  const std::vector<RingMember> members = {{{IpAddress::v4(10, 0, 0, 1), 80}},
                                           {{IpAddress::v4(10, 0, 0, 1), 81}}};
  const auto got = shares(HashRing(members, 4096, 65536, kKey), 2);
  EXPECT_NEAR(got[0], 0.5, 0.05);
}

}  // namespace
}  // namespace sluice
