#include "lb/l7/endpoint_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "lb/l7/slow_start.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const PickTime kStart{seconds(1000)};

EndpointId id_of(uint8_t i, uint16_t port = 80) {
  return {IpAddress::v4(10, 0, 0, i), port};
}

std::vector<Endpoint> endpoints_of(std::initializer_list<uint8_t> numbers) {
  std::vector<Endpoint> endpoints;
  for (const uint8_t i : numbers) endpoints.push_back({id_of(i)});
  return endpoints;
}

EndpointSet::Pointer build(std::vector<Endpoint> endpoints, const EndpointSet* previous = nullptr,
                           PickTime now = kStart, const PickSettings& settings = {}) {
  auto set = EndpointSet::build(settings, std::move(endpoints), previous, now);
  EXPECT_TRUE(set.has_value()) << (set ? "" : set.error().message);
  return set.value_or(nullptr);
}

std::string error_of(std::vector<Endpoint> endpoints, const PickSettings& settings = {}) {
  const auto set = EndpointSet::build(settings, std::move(endpoints), nullptr, kStart);
  return set ? "built" : set.error().message;
}

TEST(EndpointSet, KeepsCountersOfEndpointsThatStay) {
  const auto first = build(endpoints_of({1, 2, 3}));
  first->state(1)->start_request();
  const auto second = build(endpoints_of({4, 3, 2}), first.get());
  ASSERT_EQ(second->endpoints()[0].id, id_of(2));
  EXPECT_EQ(second->state(0), first->state(1));
  EXPECT_EQ(second->state(0)->active_requests(), 1u);
  EXPECT_EQ(second->state(1), first->state(2));
  EXPECT_EQ(second->state(2)->active_requests(), 0u);
}

TEST(EndpointSet, SlotsAreUsedAgainButNeverTwice) {
  auto set = build(endpoints_of({1, 2, 3}));
  EXPECT_EQ(set->slots(), 3u);
  for (uint8_t i = 4; i < 100; ++i) {
    set = build(endpoints_of({static_cast<uint8_t>(i - 2), static_cast<uint8_t>(i - 1), i}), set.get());
    EXPECT_EQ(set->slots(), 3u);
    std::set<uint32_t> slots;
    for (uint32_t e = 0; e < 3; ++e) slots.insert(set->state(e)->slot);
    EXPECT_EQ(slots.size(), 3u);
  }
}

TEST(EndpointSet, SlowStartBeginsWhenAnEndpointAppearsOrComesBack) {
  PickSettings settings;
  settings.slow_start.window = seconds(60);
  auto set = build(endpoints_of({1, 2}), nullptr, kStart, settings);
  EXPECT_EQ(set->hot()[0].since, kAlways) << "the first endpoints of a cluster have nobody to ease in beside";
  EXPECT_EQ(set->slow_until(), kAlways);

  set = build(endpoints_of({1, 2, 3}), set.get(), kStart + seconds(10), settings);
  EXPECT_EQ(set->hot()[0].since, kAlways);
  EXPECT_EQ(set->hot()[2].since, kStart + seconds(10));
  EXPECT_EQ(set->slow_until(), kStart + seconds(70));

  auto endpoints = endpoints_of({1, 2, 3});
  endpoints[0].ejected = true;
  set = build(endpoints, set.get(), kStart + seconds(20), settings);
  EXPECT_EQ(set->hot()[0].since, kAlways) << "going away is no start";
  EXPECT_EQ(set->hot()[2].since, kStart + seconds(10)) << "a change elsewhere does not start it again";
  set = build(endpoints_of({1, 2, 3}), set.get(), kStart + seconds(50), settings);
  EXPECT_EQ(set->hot()[0].since, kStart + seconds(50));
  EXPECT_EQ(set->slow_until(), kStart + seconds(110));
}

TEST(EndpointSet, SaysWhatEachLevelGets) {
  auto endpoints = endpoints_of({1, 2, 3, 4});
  endpoints[2].priority = 7;
  endpoints[3].priority = 7;
  endpoints[0].healthy = false;
  const auto set = build(endpoints);
  ASSERT_EQ(set->levels().size(), 2u);
  EXPECT_EQ(set->levels()[0].priority, 0u);
  EXPECT_NEAR(set->levels()[0].share, 0.7, 1e-9);
  EXPECT_FALSE(set->levels()[0].panic);
  EXPECT_EQ(set->levels()[1].priority, 7u);
  EXPECT_NEAR(set->levels()[1].share, 0.3, 1e-9);
  EXPECT_THAT(set->groups()[0].members, ElementsAre(1));
  EXPECT_THAT(set->groups()[1].members, ElementsAre(2, 3));
}

TEST(EndpointSet, PanicUsesAllButWhatDrains) {
  auto endpoints = endpoints_of({1, 2, 3, 4});
  for (Endpoint& e : endpoints) e.healthy = false;
  endpoints[3].draining = true;
  endpoints[2].weight = 0;
  const auto set = build(endpoints);
  ASSERT_EQ(set->groups().size(), 1u);
  EXPECT_TRUE(set->levels()[0].panic);
  EXPECT_THAT(set->groups()[0].members, ElementsAre(0, 1));
}

TEST(EndpointSet, TablesAreUsedAgainWhileMembersStay) {
  for (const PickPolicy policy : {PickPolicy::kRingHash, PickPolicy::kMaglev}) {
    PickSettings settings;
    settings.policy = policy;
    settings.maglev_size = 251;
    const auto first = build(endpoints_of({1, 2, 3}), nullptr, kStart, settings);
    auto endpoints = endpoints_of({1, 2, 3, 4});
    endpoints[3].healthy = false;
    const auto second = build(endpoints, first.get(), kStart, settings);
    EXPECT_EQ(second->groups()[0].ring, first->groups()[0].ring);
    EXPECT_EQ(second->groups()[0].maglev, first->groups()[0].maglev);
    endpoints[2].weight = 5;
    const auto third = build(endpoints, second.get(), kStart, settings);
    const bool ring = policy == PickPolicy::kRingHash;
    EXPECT_EQ(third->groups()[0].ring != second->groups()[0].ring, ring);
    EXPECT_EQ(third->groups()[0].maglev != second->groups()[0].maglev, !ring);
  }
}

TEST(EndpointSet, AnEmptyClusterIsASetToo) {
  const auto set = build({});
  EXPECT_TRUE(set->levels().empty());
  EXPECT_TRUE(set->groups().empty());
  EXPECT_FALSE(set->find(id_of(1)).has_value());
}

TEST(EndpointSet, RefusesWhatMakesNoSense) {
  EXPECT_THAT(error_of(endpoints_of({1, 2, 1})), HasSubstr("10.0.0.1:80 is listed twice"));
  EXPECT_EQ(error_of({{id_of(1, 80)}, {id_of(1, 81)}}), "built");
  EXPECT_THAT(error_of({{id_of(1), 65536}}), HasSubstr("weight 65536 is not in 0..65535"));
  EXPECT_THAT(error_of({{id_of(1), 1, "", 128}}), HasSubstr("priority 128 is not in 0..127"));

  const auto refused = [](auto change) {
    PickSettings settings;
    change(settings);
    return error_of({}, settings);
  };
  EXPECT_THAT(refused([](PickSettings& s) { s.choices = 1; }), HasSubstr("choices: 1 is not in 2..16"));
  EXPECT_THAT(refused([](PickSettings& s) { s.ring_min = s.ring_max + 1; }), HasSubstr("ring_min"));
  EXPECT_THAT(refused([](PickSettings& s) { s.ring_max = 0; }), HasSubstr("ring_max"));
  EXPECT_THAT(refused([](PickSettings& s) { s.panic_percent = 101; }), HasSubstr("panic_percent"));
  EXPECT_THAT(refused([](PickSettings& s) { s.overprovisioning = 0.9; }), HasSubstr("overprovisioning"));
  EXPECT_THAT(refused([](PickSettings& s) { s.slow_start.aggression = 0; }), HasSubstr("aggression"));
  EXPECT_THAT(refused([](PickSettings& s) { s.slow_start.min_weight_percent = 0; }), HasSubstr("min_weight"));
  EXPECT_THAT(refused([](PickSettings& s) { s.slow_start.window = seconds(-1); }), HasSubstr("window"));
  EXPECT_THAT(refused([](PickSettings& s) { s.ewma_decay = seconds(0); }), HasSubstr("ewma_decay"));
  EXPECT_THAT(refused([](PickSettings& s) {
                s.policy = PickPolicy::kMaglev;
                s.maglev_size = 1000;
              }),
              HasSubstr("maglev_size: table size 1000 is not a prime"));
}

TEST(SlowStart, GrowsOverItsWindow) {
  SlowStart settings{seconds(10), 1.0, 10.0};
  const auto at = [&](int ms) { return slow_start_factor(settings, kStart, kStart + milliseconds(ms)); };
  EXPECT_DOUBLE_EQ(at(0), 0.1);
  EXPECT_DOUBLE_EQ(at(500), 0.1);
  EXPECT_DOUBLE_EQ(at(2500), 0.25);
  EXPECT_DOUBLE_EQ(at(9000), 0.9);
  EXPECT_DOUBLE_EQ(at(10'000), 1.0);
  EXPECT_DOUBLE_EQ(at(99'000), 1.0);
  settings.aggression = 2;  // (1/4)^(1/2)
  EXPECT_DOUBLE_EQ(at(2500), 0.5);
  settings.window = seconds(0);
  EXPECT_DOUBLE_EQ(at(0), 1.0);
}

}  // namespace
}  // namespace sluice
