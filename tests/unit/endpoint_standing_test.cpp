// Who gets requests and why not the others: what is said must be what picks do.
#include "lb/l7/endpoint_standing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lb/l7/picker.h"

namespace sluice {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;

const PickTime kNow = PickTime(seconds(1000));

Endpoint endpoint(uint8_t number, uint32_t weight = 1) {
  Endpoint made;
  made.id = {IpAddress::v4(10, 0, 0, number), 80};
  made.weight = weight;
  return made;
}

EndpointSet::Pointer set_of(std::vector<Endpoint> endpoints, PickSettings settings = {}) {
  auto set = EndpointSet::build(settings, std::move(endpoints), nullptr, kNow);
  EXPECT_TRUE(set) << set.error().message;
  return *set;
}

std::vector<std::string> names(const EndpointSet& set) {
  std::vector<std::string> result;
  for (const EndpointStanding& standing : endpoint_standings(set))
    result.emplace_back(standing_name(standing.standing));
  return result;
}

/// Draws, and compares each endpoint's part with the share it is said to have.
void expect_picks_as_said(const EndpointSet::Pointer& set) {
  constexpr int kPicks = 40'000;
  Random random(7);
  Picker picker;
  picker.use(set, kNow, random);
  std::vector<double> part(set->endpoints().size());
  for (int i = 0; i < kPicks; ++i) {
    const auto picked = picker.pick({}, kNow, random);
    if (picked) part[*picked] += 1.0 / kPicks;
  }
  const auto standings = endpoint_standings(*set);
  for (size_t i = 0; i < part.size(); ++i) {
    EXPECT_NEAR(standings[i].share, part[i], 0.01) << i;
    EXPECT_EQ(is_candidate(standings[i].standing), part[i] > 0) << i;
  }
}

TEST(EndpointStanding, EachReasonHasItsName) {
  std::vector<Endpoint> endpoints;
  for (uint8_t number = 1; number <= 6; ++number) endpoints.push_back(endpoint(number));
  endpoints[0].healthy = false;
  endpoints[1].ejected = true;
  endpoints[2].draining = true;
  endpoints[3].weight = 0;
  endpoints[5].priority = 1;
  PickSettings settings;
  settings.panic_percent = 0;
  settings.overprovisioning = 4;
  EXPECT_THAT(names(*set_of(endpoints, settings)),
              ElementsAre("unhealthy", "ejected", "drain", "unused", "serves", "reserve"));
}

TEST(EndpointStanding, WhatTheOperatorSaysGoesBeforeWhatChecksSay) {
  std::vector<Endpoint> endpoints{endpoint(1), endpoint(2)};
  endpoints[0].healthy = false;
  endpoints[0].draining = true;
  EXPECT_THAT(names(*set_of(endpoints)), ElementsAre("drain", "serves"));
}

TEST(EndpointStanding, InPanicAllAreUsedButThoseThatDrain) {
  std::vector<Endpoint> endpoints{endpoint(1), endpoint(2), endpoint(3), endpoint(4)};
  endpoints[0].healthy = endpoints[1].healthy = false;
  endpoints[2].draining = true;
  endpoints[3].ejected = true;
  const auto set = set_of(endpoints);
  EXPECT_THAT(names(*set), ElementsAre("panic", "panic", "drain", "panic"));
  expect_picks_as_said(set);
}

TEST(EndpointStanding, SharesAreByWeight) {
  PickSettings settings;
  settings.policy = PickPolicy::kRandom;
  const auto set = set_of({endpoint(1, 1), endpoint(2, 3), endpoint(3, 0)}, settings);
  const auto standings = endpoint_standings(*set);
  EXPECT_DOUBLE_EQ(standings[0].share, 0.25);
  EXPECT_DOUBLE_EQ(standings[1].share, 0.75);
  EXPECT_DOUBLE_EQ(standings[2].share, 0);
  expect_picks_as_said(set);
}

TEST(EndpointStanding, RoundRobinLooksAtNoWeights) {
  PickSettings settings;
  settings.policy = PickPolicy::kRoundRobin;
  const auto set = set_of({endpoint(1, 1), endpoint(2, 9)}, settings);
  EXPECT_DOUBLE_EQ(endpoint_standings(*set)[0].share, 0.5);
  expect_picks_as_said(set);
}

TEST(EndpointStanding, TheNextPriorityTakesWhatTheFirstCannot) {
  std::vector<Endpoint> endpoints;
  for (uint8_t number = 1; number <= 6; ++number) endpoints.push_back(endpoint(number));
  endpoints[0].healthy = endpoints[1].healthy = false;
  endpoints[4].priority = endpoints[5].priority = 1;
  PickSettings settings;
  settings.policy = PickPolicy::kRandom;
  settings.panic_percent = 0;
  const auto set = set_of(endpoints, settings);
  EXPECT_THAT(names(*set), ElementsAre("unhealthy", "unhealthy", "serves", "serves", "serves", "serves"));
  expect_picks_as_said(set);
}

TEST(EndpointStanding, ZonesShareByTheirPart) {
  std::vector<Endpoint> endpoints;
  for (uint8_t number = 1; number <= 8; ++number) {
    endpoints.push_back(endpoint(number));
    endpoints.back().zone = number <= 2 ? "here" : "there";
  }
  PickSettings settings;
  settings.policy = PickPolicy::kRandom;
  settings.zones.local_zone = "here";
  expect_picks_as_said(set_of(endpoints, settings));
}

TEST(EndpointStanding, WithNobodyLeftThereAreNoShares) {
  PickSettings settings;
  settings.panic_percent = 0;
  std::vector<Endpoint> endpoints{endpoint(1), endpoint(2)};
  endpoints[0].healthy = endpoints[1].healthy = false;
  const auto set = set_of(endpoints, settings);
  EXPECT_THAT(names(*set), ElementsAre("unhealthy", "unhealthy"));
  expect_picks_as_said(set);
  EXPECT_TRUE(endpoint_standings(*set_of({})).empty());
}

}  // namespace
}  // namespace sluice
