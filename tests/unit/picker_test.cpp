// Pick policies: many picks with a seeded source of randomness, and what must be true of their counts.
#include "lb/l7/picker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "lb/l7/request_hash.h"
#include "tests/unit/count_allocations.h"
#include "tests/unit/picker_site.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::endpoints_of;
using test::equal_endpoints;
using test::kAllPolicies;
using test::kStart;
using test::settings_of;

// One cluster and one worker of it.
struct Cluster {
  explicit Cluster(PickSettings s, std::vector<Endpoint> endpoints, uint64_t seed = 42)
      : settings(std::move(s)), random(seed) {
    change(std::move(endpoints));
  }
  void change(std::vector<Endpoint> endpoints) {
    auto built = EndpointSet::build(settings, std::move(endpoints), picker.set().get(), now);
    ASSERT_TRUE(built.has_value()) << built.error().message;
    picker.use(*built, now, random);
  }
  std::optional<uint32_t> pick(std::span<const EndpointState* const> excluded = {}) {
    return picker.pick({random(), excluded}, now, random);
  }
  // How often each endpoint is picked, none of them ever busy.
  std::vector<double> shares(int picks) {
    std::vector<double> counts(picker.set()->endpoints().size());
    for (int i = 0; i < picks; ++i) counts[pick().value()] += 1.0 / picks;
    return counts;
  }
  const EndpointState* state(uint32_t endpoint) const { return picker.set()->state(endpoint).get(); }

  PickSettings settings;
  PickTime now = kStart;
  Random random;
  Picker picker;
};

TEST(Picker, NoEndpointNoPick) {
  for (const PickPolicy policy : kAllPolicies) {
    Cluster cluster(settings_of(policy), {});
    EXPECT_FALSE(cluster.pick().has_value());
  }
}

TEST(Picker, OneEndpointGetsAll) {
  for (const PickPolicy policy : kAllPolicies) {
    Cluster cluster(settings_of(policy), equal_endpoints(1));
    for (int i = 0; i < 100; ++i) EXPECT_EQ(cluster.pick(), 0u);
  }
}

TEST(Picker, AllEjectedIsPanicOrNobody) {
  for (const PickPolicy policy : kAllPolicies) {
    auto endpoints = equal_endpoints(3);
    for (Endpoint& e : endpoints) e.ejected = true;
    PickSettings settings = settings_of(policy);
    Cluster panic(settings, endpoints);
    const auto shares = panic.shares(3000);
    for (const double share : shares) EXPECT_GT(share, 0.2);

    settings.panic_percent = 0;
    Cluster calm(settings, endpoints);
    EXPECT_FALSE(calm.pick().has_value());
  }
}

TEST(Picker, UnavailableAndWeightlessGetNothing) {
  for (const PickPolicy policy : kAllPolicies) {
    auto endpoints = equal_endpoints(8);
    endpoints[1].healthy = false;
    endpoints[2].ejected = true;
    endpoints[3].draining = true;
    endpoints[4].weight = 0;
    Cluster cluster(settings_of(policy), endpoints);
    const auto shares = cluster.shares(8000);
    for (const size_t i : {1, 2, 3, 4}) EXPECT_EQ(shares[i], 0) << i;
    for (const size_t i : {0, 5, 6, 7}) EXPECT_NEAR(shares[i], 0.25, 0.03) << i;
  }
}

TEST(Picker, EqualEndpointsGetEqualShares) {
  for (const PickPolicy policy : kAllPolicies) {
    Cluster cluster(settings_of(policy), equal_endpoints(10));
    // A ring of 1638 points each is even to 1 / sqrt(1638) = 2.5 %, one standard deviation.
    const double bound = policy == PickPolicy::kRingHash ? 0.01 : 0.004;
    for (const double share : cluster.shares(100'000))
      EXPECT_NEAR(share, 0.1, bound) << static_cast<int>(policy);
  }
}

TEST(Picker, SharesFollowWeights) {
  const std::vector<uint32_t> weights = {1, 2, 3, 4, 10};
  for (const PickPolicy policy : kAllPolicies) {
    Cluster cluster(settings_of(policy), endpoints_of(weights));
    const auto shares = cluster.shares(100'000);
    for (size_t i = 0; i < weights.size(); ++i) {
      const double expected = policy == PickPolicy::kRoundRobin ? 0.2 : weights[i] / 20.0;
      const double bound = policy == PickPolicy::kRingHash ? 0.08 : 0.03;
      EXPECT_NEAR(shares[i] / expected, 1.0, bound) << static_cast<int>(policy) << " endpoint " << i;
    }
  }
}

TEST(Picker, TwoEndpointsOfUnequalWeightAreNotAllOrNothing) {
  Cluster cluster(settings_of(PickPolicy::kLeastRequest), endpoints_of({2, 1}));
  EXPECT_NEAR(cluster.shares(30'000)[0], 2.0 / 3, 0.02);
}

TEST(Picker, APickAllocatesNothing) {
  for (const PickPolicy policy : kAllPolicies) {
    PickSettings settings = settings_of(policy);
    settings.slow_start.window = seconds(100);
    Cluster cluster(settings, equal_endpoints(40));
    cluster.change(equal_endpoints(50));
    const std::vector<const EndpointState*> tried = {cluster.state(0), cluster.state(1)};
    const uint64_t before = allocations_so_far();
    for (int i = 0; i < 1000; ++i)
      cluster.picker.observe(*cluster.state(*cluster.pick(tried)), milliseconds(1), false, cluster.now);
    EXPECT_EQ(allocations_so_far() - before, 0u) << static_cast<int>(policy);
  }
}

TEST(Picker, OpenRequestsCountByWeight) {
  Cluster cluster(settings_of(PickPolicy::kLeastRequest), endpoints_of({4, 1}));
  // Three of four against one of one: the heavy one is less busy, whichever is drawn first.
  for (int i = 0; i < 3; ++i) cluster.picker.set()->state(0)->start_request();
  cluster.picker.set()->state(1)->start_request();
  EXPECT_EQ(cluster.shares(200)[1], 0);
  // Eight of four against one of one: the light one is.
  for (int i = 0; i < 5; ++i) cluster.picker.set()->state(0)->start_request();
  EXPECT_EQ(cluster.shares(200)[0], 0);
}

TEST(Picker, ARetryGoesElsewhere) {
  for (const PickPolicy policy : kAllPolicies) {
    Cluster cluster(settings_of(policy), equal_endpoints(4));
    for (int i = 0; i < 500; ++i) {
      std::vector<const EndpointState*> tried;
      const uint64_t hash = cluster.random();
      for (int attempt = 0; attempt < 4; ++attempt) {
        const auto picked = cluster.picker.pick({hash, tried}, cluster.now, cluster.random);
        ASSERT_TRUE(picked.has_value());
        EXPECT_EQ(std::ranges::count(tried, cluster.state(*picked)), 0);
        tried.push_back(cluster.state(*picked));
      }
      EXPECT_FALSE(cluster.picker.pick({hash, tried}, cluster.now, cluster.random).has_value());
    }
  }
}

TEST(Picker, ARetryGoesToTheNextLevelWhenItsOwnIsUsedUp) {
  for (const PickPolicy policy : kAllPolicies) {
    auto endpoints = equal_endpoints(3);
    endpoints[2].priority = 1;
    Cluster cluster(settings_of(policy), endpoints);
    const std::vector<const EndpointState*> tried = {cluster.state(0), cluster.state(1)};
    EXPECT_EQ(cluster.pick(tried), 2u);
    EXPECT_NE(cluster.pick(), 2u);
  }
}

TEST(Picker, ARetryDoesNotTakeTheTurnOfOthers) {
  Cluster cluster(settings_of(PickPolicy::kRoundRobin), equal_endpoints(3));
  const uint32_t first = cluster.pick().value();
  const uint32_t second = cluster.pick().value();
  const uint32_t third = cluster.pick().value();
  const std::vector<const EndpointState*> not_first = {cluster.state(first)};
  EXPECT_EQ(cluster.pick(not_first), second);
  EXPECT_EQ(cluster.pick(), first) << "it is still due";
  EXPECT_EQ(cluster.pick(), third);
}

TEST(Picker, PrioritiesSpillOver) {
  for (const PickPolicy policy : kAllPolicies) {
    auto endpoints = equal_endpoints(20);
    for (size_t i = 10; i < 20; ++i) endpoints[i].priority = 1;
    for (size_t i = 0; i < 5; ++i) endpoints[i].healthy = false;
    Cluster cluster(settings_of(policy), endpoints);
    const auto shares = cluster.shares(50'000);
    EXPECT_NEAR(std::accumulate(shares.begin(), shares.begin() + 10, 0.0), 0.7, 0.01);
    for (size_t i = 0; i < 5; ++i) EXPECT_EQ(shares[i], 0);
  }
}

TEST(Picker, ZonesAreHonoured) {
  auto endpoints = equal_endpoints(12);
  for (size_t i = 0; i < 12; ++i) endpoints[i].zone = i < 4 ? "a" : i < 8 ? "b" : "c";
  for (const PickPolicy policy : {PickPolicy::kLeastRequest, PickPolicy::kRoundRobin, PickPolicy::kRandom}) {
    PickSettings settings = settings_of(policy);
    settings.zones.local_zone = "b";
    const auto zone_share = [&](size_t zone) {
      Cluster cluster(settings, endpoints);
      const auto shares = cluster.shares(20'000);
      return std::accumulate(shares.begin() + 4 * static_cast<int>(zone),
                             shares.begin() + 4 * static_cast<int>(zone) + 4, 0.0);
    };
    for (Endpoint& e : endpoints) e.healthy = true;
    EXPECT_NEAR(zone_share(1), 1.0, 1e-9);
    // Two of four left: 1.4 x 1/2 stay, the rest to eight others evenly.
    endpoints[4].healthy = endpoints[5].healthy = false;
    EXPECT_NEAR(zone_share(1), 0.7, 0.015);
    EXPECT_NEAR(zone_share(0), 0.15, 0.015);
    endpoints[6].healthy = endpoints[7].healthy = false;
    EXPECT_NEAR(zone_share(1), 0.0, 1e-9);
    EXPECT_NEAR(zone_share(2), 0.5, 0.015);
    // Twice as many proxies here as endpoints: half of the requests stay.
    for (Endpoint& e : endpoints) e.healthy = true;
    settings.zones.proxies = {{"a", 1}, {"b", 4}, {"c", 1}};
    EXPECT_NEAR(zone_share(1), 0.5, 0.015);
    settings.zones.proxies.clear();
    settings.zones.min_endpoints = 13;
    EXPECT_NEAR(zone_share(1), 1.0 / 3, 0.015);
  }
}

TEST(Picker, SlowStartEasesAnEndpointIn) {
  for (const PickPolicy policy : kAllPolicies) {
    SCOPED_TRACE(static_cast<int>(policy));
    PickSettings settings = settings_of(policy);
    settings.slow_start = {seconds(100), 1.0, 10.0};
    Cluster cluster(settings, equal_endpoints(9));
    cluster.now += seconds(50);
    cluster.change(equal_endpoints(10));
    const auto newcomer = [&] {
      cluster.shares(2000);  // turns given by an older factor are over
      return cluster.shares(40'000)[9];
    };
    // Of 9 + f: 0.1 / 9.1, 0.5 / 9.5, and its full part. Keys change their owner one by one: a tenth times f.
    const bool by_key = is_hash_policy(policy);
    const double bound = policy == PickPolicy::kRingHash ? 0.012 : 0.006;
    EXPECT_NEAR(newcomer(), by_key ? 0.01 : 0.1 / 9.1, bound);
    cluster.now += seconds(50);
    EXPECT_NEAR(newcomer(), by_key ? 0.05 : 0.5 / 9.5, bound);
    cluster.now += seconds(50);
    EXPECT_NEAR(newcomer(), 0.1, bound);
  }
}

TEST(Picker, SlowStartMovesEachKeyOnceAndNoOther) {
  for (const PickPolicy policy : {PickPolicy::kRingHash, PickPolicy::kMaglev}) {
    PickSettings settings = settings_of(policy);
    settings.slow_start = {seconds(100), 1.0, 1.0};
    Cluster cluster(settings, equal_endpoints(9));
    std::vector<uint64_t> keys;
    for (int i = 0; i < 5000; ++i) keys.push_back(cluster.random());
    const auto owners = [&] {
      std::vector<uint32_t> result;
      for (const uint64_t key : keys)
        result.push_back(*cluster.picker.pick({key, {}}, cluster.now, cluster.random));
      return result;
    };
    auto before = owners();
    cluster.change(equal_endpoints(10));
    int moved = 0;
    // At most the few slots that Maglev moves between those that stay, at the end of the window or of an
    // owner's.
    for (int step = 0; step <= 20; ++step, cluster.now += seconds(5)) {
      const auto after = owners();
      int strayed = 0;
      for (size_t i = 0; i < keys.size(); ++i) {
        if (after[i] == before[i]) continue;
        ++moved;
        if (after[i] != 9) ++strayed;
      }
      EXPECT_LE(strayed, policy == PickPolicy::kMaglev && step == 0 ? 100 : 0) << "step " << step;
      before = after;
    }
    EXPECT_NEAR(moved, 500, 120);
  }
}

TEST(Picker, HashPoliciesKeepAKeyOnItsEndpoint) {
  for (const PickPolicy policy : {PickPolicy::kRingHash, PickPolicy::kMaglev}) {
    Cluster cluster(settings_of(policy), equal_endpoints(50));
    Cluster other(settings_of(policy), equal_endpoints(50), 4711);  // another worker, another proxy
    std::map<uint64_t, uint32_t> owners;
    for (uint64_t i = 0; i < 10'000; ++i) {
      const uint64_t hash = request_hash(cluster.settings.hash_key, "user-" + std::to_string(i));
      owners[hash] = cluster.picker.pick({hash, {}}, cluster.now, cluster.random).value();
      EXPECT_EQ(other.picker.pick({hash, {}}, other.now, other.random), owners[hash]);
    }
    auto fewer = equal_endpoints(50);
    fewer[17].ejected = true;
    cluster.change(fewer);
    int disrupted = 0;
    int handed_on = 0;
    for (const auto& [hash, owner] : owners) {
      const uint32_t now_owner = cluster.picker.pick({hash, {}}, cluster.now, cluster.random).value();
      EXPECT_NE(now_owner, 17u);
      if (owner == 17) {
        ++handed_on;
      } else if (now_owner != owner) {
        ++disrupted;
      }
    }
    EXPECT_NEAR(handed_on, 200, 60);
    // Maglev pays for evenness with a few keys of others (docs/maglev.md); a ring does not.
    EXPECT_LE(disrupted, policy == PickPolicy::kMaglev ? 300 : 0);
  }
}

TEST(Picker, AKeyOfARetryHasASecondHome) {
  Cluster cluster(settings_of(PickPolicy::kRingHash), equal_endpoints(10));
  for (int i = 0; i < 200; ++i) {
    const uint64_t hash = cluster.random();
    const uint32_t first = cluster.picker.pick({hash, {}}, cluster.now, cluster.random).value();
    const std::vector<const EndpointState*> tried = {cluster.state(first)};
    const auto second = cluster.picker.pick({hash, tried}, cluster.now, cluster.random);
    EXPECT_EQ(cluster.picker.pick({hash, tried}, cluster.now, cluster.random), second);
    auto fewer = equal_endpoints(10);
    fewer[first].healthy = false;
    cluster.change(fewer);
    EXPECT_EQ(cluster.picker.pick({hash, {}}, cluster.now, cluster.random), second);
    cluster.change(equal_endpoints(10));
  }
}

TEST(Picker, WhatItRemembersSurvivesAChange) {
  Cluster cluster(settings_of(PickPolicy::kPeakEwma), equal_endpoints(2));
  cluster.picker.observe(*cluster.state(0), seconds(3), false, cluster.now);
  const auto gone = cluster.picker.set()->state(1);
  auto endpoints = equal_endpoints(3);
  endpoints.erase(endpoints.begin() + 1);  // the one that stays, and a new one in the place of the other
  cluster.change(endpoints);
  ASSERT_EQ(cluster.state(1)->slot, gone->slot);
  EXPECT_NEAR(cluster.shares(1000)[1], 0.5, 0.1) << "nothing is known of the new one";
  cluster.picker.observe(*cluster.state(1), milliseconds(1), false, cluster.now);
  EXPECT_NEAR(cluster.shares(100)[1], 1.0, 1e-9);
  // A late answer of the one that has gone is not taken for the new one's.
  cluster.picker.observe(*gone, seconds(60), false, cluster.now);
  EXPECT_NEAR(cluster.shares(100)[1], 1.0, 1e-9);
}

TEST(Picker, TurnsSurviveAChange) {
  Cluster cluster(settings_of(PickPolicy::kRoundRobin), equal_endpoints(8));
  std::vector<uint32_t> round;
  for (int i = 0; i < 8; ++i) round.push_back(cluster.pick().value());
  // A change before each pick, as of one that keeps being ejected: everybody still has a turn.
  for (size_t i = 0; i < 32; ++i) {
    cluster.change(equal_endpoints(8));
    EXPECT_EQ(cluster.pick(), round[i % 8]) << i;
  }
}

}  // namespace
}  // namespace sluice
