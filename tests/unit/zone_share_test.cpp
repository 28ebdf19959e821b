#include "lb/l7/zone_share.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sluice {
namespace {

struct Case {
  std::string what;
  std::vector<ZoneCapacity> zones;  // available, total, proxies
  size_t local;
  std::vector<double> shares;
};

const std::vector<Case> kCases = {
    {"unknown proxies, home is whole", {{10, 10}, {10, 10}}, 0, {1, 0}},
    {"unknown proxies, half of home: 70 %", {{5, 10}, {10, 10}, {5, 5}}, 0, {0.7, 0.2, 0.1}},
    {"home is gone", {{0, 10}, {10, 10}, {30, 30}}, 0, {0, 0.25, 0.75}},
    {"the others are gone", {{1, 10}, {0, 10}}, 0, {1, 0}},
    {"all are gone", {{0, 10}, {0, 10}}, 0, {0, 0}},
    {"even proxies, even endpoints", {{10, 10, 2}, {10, 10, 2}}, 1, {0, 1}},
    {"home has more than its part of endpoints", {{30, 30, 2}, {10, 10, 2}}, 0, {1, 0}},
    {"home has less: the rest goes where there is more", {{30, 30, 2}, {10, 10, 2}}, 1, {0.5, 0.5}},
    {"the rest in proportion to the room",
     {{10, 10, 4}, {40, 40, 4}, {50, 50, 2}},  // parts 0.1 0.4 0.5 of weight, 0.4 0.4 0.2 of proxies
     0,
     {0.25, 0, 0.75}},
};

TEST(ZoneShare, StaysAtHomeAsFarAsIsFair) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.what);
    const auto shares = share_zones(c.zones, c.local, 1.4);
    ASSERT_EQ(shares.size(), c.shares.size());
    for (size_t i = 0; i < shares.size(); ++i) EXPECT_NEAR(shares[i], c.shares[i], 1e-9) << "zone " << i;
  }
}

// What the arithmetic is for: over all proxies of all zones every zone's endpoints get their part.
TEST(ZoneShare, EveryZoneGetsItsPartOfAllRequests) {
  const std::vector<ZoneCapacity> zones = {{30, 30, 1}, {10, 20, 5}, {60, 60, 4}};
  std::vector<double> got(zones.size());
  for (size_t from = 0; from < zones.size(); ++from) {
    const auto shares = share_zones(zones, from, 1.4);
    for (size_t to = 0; to < zones.size(); ++to) got[to] += zones[from].proxies / 10.0 * shares[to];
  }
  EXPECT_NEAR(got[0], 0.3, 1e-9);
  EXPECT_NEAR(got[1], 0.1, 1e-9);
  EXPECT_NEAR(got[2], 0.6, 1e-9);
}

}  // namespace
}  // namespace sluice
