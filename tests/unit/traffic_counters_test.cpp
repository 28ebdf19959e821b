// What is counted of listeners, routes and clusters, and what of it outlives a change of configuration.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "dataplane/l7/snapshot.h"

namespace sluice::l7 {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(CountedTime, FindsTheBucketWhoseBoundIsNotBelowIt) {
  EXPECT_EQ(CountedTime(microseconds(0)).bucket, 0u);
  EXPECT_EQ(CountedTime(milliseconds(1)).bucket, 0u) << "a bound belongs to its bucket";
  EXPECT_EQ(CountedTime(microseconds(1001)).bucket, 1u);
  EXPECT_EQ(CountedTime(seconds(60)).bucket, 13u);
  EXPECT_EQ(CountedTime(seconds(61)).bucket, 14u);
  EXPECT_EQ(CountedTime(std::chrono::nanoseconds(-5)).bucket, 0u) << "a clock that went back";
  EXPECT_EQ(CountedTime(std::chrono::nanoseconds(-5)).nanoseconds, 0u);
}

TEST(TimeHistogram, AddsUp) {
  TimeHistogram histogram;
  for (const auto time : {milliseconds(1), milliseconds(2), milliseconds(400)})
    histogram.count(CountedTime(time));
  EXPECT_EQ(histogram.nanoseconds.read(), 403'000'000u);
  EXPECT_EQ(histogram.buckets[0].read(), 1u);
  EXPECT_EQ(histogram.buckets[1].read(), 1u);
  EXPECT_EQ(histogram.buckets[8].read(), 1u);
}

TEST(PerWorker, IsTheSumOfWhatEachHasCounted) {
  PerWorker<ClusterCounters> counters(3);
  counters.of(0).retries.add(1);
  counters.of(2).retries.add(4);
  EXPECT_EQ(counters.sum([](const ClusterCounters& c) { return c.retries.read(); }), 5u);
}

std::shared_ptr<ProxySettings> settings_of(const std::vector<std::string>& listeners,
                                           const std::vector<std::string>& routes,
                                           const std::vector<std::string>& clusters) {
  auto settings = std::make_shared<ProxySettings>();
  settings->workers = 2;
  for (const std::string& name : clusters) settings->clusters.emplace_back().name = name;
  for (const std::string& name : listeners) {
    ListenerSettings& listener = settings->listeners.emplace_back();
    listener.name = name;
    VirtualHost& host = listener.routes.virtual_hosts.emplace_back();
    host = {"site", {"*"}, {}};
    for (const std::string& route : routes) {
      host.routes.emplace_back().name = route;
      host.routes.back().action = ForwardAction{{{clusters.front(), 1}}};
    }
  }
  return settings;
}

ProxySnapshot snapshot_of(std::shared_ptr<ProxySettings> settings, const ProxySnapshot* previous) {
  auto snapshot = build_snapshot(std::move(settings), previous, PickTime());
  if (!snapshot) throw std::runtime_error(snapshot.error().message);
  return *std::move(snapshot);
}

uint64_t answered(const ProxySnapshot& snapshot, size_t listener, const std::string& route) {
  return snapshot.traffic[listener]->routes().at({"site", route})->sum([](const RouteCounters& counters) {
    return counters.outcomes[static_cast<size_t>(Outcome::kAnswered)].read();
  });
}

EndedRequest answered_request() {
  return {Outcome::kAnswered, 2, 0, false, CountedTime(milliseconds(1)), 10, 20};
}

TEST(ListenerTraffic, WhatKeepsItsNameKeepsItsCounters) {
  const ProxySnapshot before = snapshot_of(settings_of({"a", "b"}, {"one", "two"}, {"app"}), nullptr);
  before.traffic[0]->routes_of(1)[1]->count(answered_request());
  before.traffic[0]->counters()->of(1).count(answered_request());
  before.clusters.at("app").counters->of(0).retries.add(7);

  // The places change, the names do not.
  const ProxySnapshot after =
      snapshot_of(settings_of({"c", "a"}, {"two", "three"}, {"other", "app"}), &before);
  EXPECT_EQ(answered(after, 1, "two"), 1u);
  EXPECT_EQ(answered(after, 1, "three"), 0u);
  EXPECT_EQ(answered(after, 0, "two"), 0u) << "another listener's";
  EXPECT_EQ(after.traffic[1]->routes_of(1)[0], before.traffic[0]->routes_of(1)[1]);
  EXPECT_EQ(
      after.traffic[1]->counters()->sum([](const ListenerCounters& c) { return c.requests_ended.read(); }),
      1u);
  EXPECT_EQ(
      after.traffic[0]->counters()->sum([](const ListenerCounters& c) { return c.requests_ended.read(); }),
      0u);
  EXPECT_EQ(after.clusters.at("app").counters->sum([](const ClusterCounters& c) { return c.retries.read(); }),
            7u);
  EXPECT_EQ(
      after.clusters.at("other").counters->sum([](const ClusterCounters& c) { return c.retries.read(); }),
      0u);
}

TEST(ListenerTraffic, RoutesOfOneNameAreCountedTogether) {
  const ProxySnapshot snapshot = snapshot_of(settings_of({"a"}, {"one", "one"}, {"app"}), nullptr);
  EXPECT_EQ(snapshot.traffic[0]->routes().size(), 1u);
  for (RouteCounters* counters : snapshot.traffic[0]->routes_of(0)) counters->count(answered_request());
  EXPECT_EQ(answered(snapshot, 0, "one"), 2u);
}

TEST(ListenerTraffic, RoutesCanBeLeftUncounted) {
  auto settings = settings_of({"a"}, {"one", "two"}, {"app"});
  settings->count_routes = false;
  const ProxySnapshot snapshot = snapshot_of(settings, nullptr);
  EXPECT_TRUE(snapshot.traffic[0]->routes().empty());
  EXPECT_THAT(snapshot.traffic[0]->routes_of(0), testing::ElementsAre(nullptr, nullptr));
}

TEST(EndpointTraffic, KnowsWhyTheLastConnectionFailed) {
  EndpointTraffic traffic(2);
  EXPECT_FALSE(traffic.last_connect_failure());
  const std::chrono::system_clock::time_point at{seconds(5)};
  traffic.note_connect_failure("Connection refused", at);
  traffic.note_connect_failure("no connection within the time-out", at + seconds(1));
  EXPECT_EQ(traffic.last_connect_failure()->why, "no connection within the time-out");
  EXPECT_EQ(traffic.last_connect_failure()->at, at + seconds(1));
}

}  // namespace
}  // namespace sluice::l7
