#include "lb/pool_health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace sluice {
namespace {

using enum BackendState;

/// A pool of active backends.
Pool pool_of(size_t size) {
  Pool pool{.name = "web"};
  for (size_t i = 0; i < size; ++i) {
    pool.backends.push_back(
        {.name = std::to_string(i), .address = IpAddress::v4(10, 0, 0, static_cast<uint8_t>(i))});
  }
  return pool;
}

std::vector<BackendState> states(const Pool& pool, const std::vector<bool>& healthy) {
  return assess_pool(pool, healthy).states;
}

TEST(PoolHealth, UsesHealthyBackends) {
  const PoolHealth health = assess_pool(pool_of(3), {true, false, true});
  EXPECT_EQ(health.mode, PoolMode::kNormal);
  EXPECT_TRUE(health.announceable());
  EXPECT_EQ(health.healthy, 2);
  EXPECT_EQ(health.wanted, 3);
  EXPECT_THAT(health.states, testing::ElementsAre(kActive, kDown, kActive));
}

TEST(PoolHealth, WithdrawsBelowMinHealthy) {
  Pool pool = pool_of(3);
  pool.policy.min_healthy = 2;
  EXPECT_EQ(assess_pool(pool, {true, true, false}).mode, PoolMode::kNormal);
  const PoolHealth health = assess_pool(pool, {true, false, false});
  EXPECT_EQ(health.mode, PoolMode::kTooFew);
  EXPECT_FALSE(health.announceable());
  // Flows that still come use what is healthy.
  EXPECT_THAT(health.states, testing::ElementsAre(kActive, kDown, kDown));
}

TEST(PoolHealth, AnEmptyPoolIsTooFewUnlessNoneAreNeeded) {
  Pool pool = pool_of(0);
  EXPECT_EQ(assess_pool(pool, {}).mode, PoolMode::kTooFew);
  pool.policy.min_healthy = 0;
  EXPECT_EQ(assess_pool(pool, {}).mode, PoolMode::kNormal);
}

TEST(PoolHealth, FailsOpenToAllIfThePolicySaysSo) {
  Pool pool = pool_of(2);
  pool.policy.too_few = TooFewHealthy::kFailOpen;
  const PoolHealth health = assess_pool(pool, {false, false});
  EXPECT_EQ(health.mode, PoolMode::kFailOpen);
  EXPECT_TRUE(health.announceable());
  EXPECT_THAT(health.states, testing::ElementsAre(kActive, kActive));
  EXPECT_THAT(states(pool, {true, false}), testing::ElementsAre(kActive, kDown));
}

TEST(PoolHealth, DoesNotBelieveThatNearlyAllAreDown) {
  Pool pool = pool_of(4);
  pool.policy.panic_percent = 50;
  EXPECT_EQ(assess_pool(pool, {true, true, false, false}).mode, PoolMode::kNormal);
  const PoolHealth health = assess_pool(pool, {true, false, false, false});
  EXPECT_EQ(health.mode, PoolMode::kPanic);
  EXPECT_TRUE(health.announceable());
  EXPECT_THAT(health.states, testing::Each(kActive));
  // Fewer than min_healthy come first: none at all is no reason for panic.
  EXPECT_EQ(assess_pool(pool, {false, false, false, false}).mode, PoolMode::kTooFew);
}

TEST(PoolHealth, CountsOnlyWhatTheOperatorWantsUsed) {
  Pool pool = pool_of(4);
  pool.backends[1].state = kDrain;
  pool.backends[2].state = kDown;
  pool.backends[3].weight = 0;
  const PoolHealth health = assess_pool(pool, {true, true, true, true});
  EXPECT_EQ(health.wanted, 1);
  EXPECT_EQ(health.healthy, 1);
  EXPECT_THAT(health.states, testing::ElementsAre(kActive, kDrain, kDown, kActive));
  EXPECT_EQ(assess_pool(pool, {false, true, true, true}).mode, PoolMode::kTooFew);
}

TEST(PoolHealth, TheOperatorsDrainAndDownStayInEveryMode) {
  Pool pool = pool_of(3);
  pool.backends[1].state = kDrain;
  pool.backends[2].state = kDown;
  pool.policy.too_few = TooFewHealthy::kFailOpen;
  EXPECT_THAT(states(pool, {false, false, true}), testing::ElementsAre(kActive, kDrain, kDown));
  // One that drains and dies is of no use to its flows.
  EXPECT_THAT(states(pool, {true, false, true}), testing::ElementsAre(kActive, kDown, kDown));
}

TEST(PoolHealth, WhoLeavesKeepsItsFlows) {
  Pool pool = pool_of(4);
  pool.backends[2].state = kDown;
  pool.backends[3].state = kDrain;
  const PoolHealth health = assess_pool(pool, {true, false, false, false}, {false, true, true, true});
  EXPECT_THAT(health.states, testing::ElementsAre(kActive, kDrain, kDown, kDrain));
  EXPECT_EQ(health.healthy, 1u);
  // All leave: too few to be healthy, and still the best there is for the flows that they have.
  EXPECT_EQ(assess_pool(pool, {false, false, false, false}, {true, true, true, true}).mode,
            PoolMode::kTooFew);
  pool.policy.too_few = TooFewHealthy::kFailOpen;
  EXPECT_THAT(assess_pool(pool, {false, false, false, false}, {true, true, true, true}).states,
              testing::ElementsAre(kActive, kActive, kDown, kDrain));
}

TEST(PoolHealth, ThroughTheTunnelTheVipWithTheCheckedPortIsChecked) {
  Services services{.pools = {pool_of(1), pool_of(1)}};
  services.pools[0].name = "web";
  services.pools[1].name = "other";
  const auto add = [&](const char* address, PortRange ports, const char* pool) {
    services.vips.push_back({.address = Prefix::parse(address).value(), .ports = ports, .pool = pool});
  };
  EXPECT_EQ(health_vip(services, services.pools[0], 80), std::nullopt);
  add("192.0.2.0/28", {}, "web");
  EXPECT_EQ(health_vip(services, services.pools[0], 80), std::nullopt);
  add("192.0.2.1", {80, 80}, "other");
  add("192.0.2.2", {443, 443}, "web");
  add("2001:db8::3", {80, 90}, "web");
  EXPECT_EQ(health_vip(services, services.pools[0], 80), IpAddress::parse("2001:db8::3").value());
  EXPECT_EQ(health_vip(services, services.pools[0], 8080), IpAddress::parse("192.0.2.2").value());
}

TEST(PoolHealth, EffectiveStatesReplaceTheOperatorsAndNothingElse) {
  Services services{.cluster_seed = "s", .pools = {pool_of(2), pool_of(1)}};
  services.pools[1].backends[0].state = kDrain;
  const auto effective = with_effective_states(
      services, {assess_pool(services.pools[0], {false, true}), assess_pool(services.pools[1], {true})});
  Services expected = services;
  expected.pools[0].backends[0].state = kDown;
  EXPECT_EQ(effective, expected);
}

}  // namespace
}  // namespace sluice
