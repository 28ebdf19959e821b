#include "lb/l7/outlier_detector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "lb/l7/picker.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const PickTime kStart{seconds(1000)};
constexpr uint32_t kWorkers = 4;
constexpr RequestResult kGood = RequestResult::kSuccess;
constexpr RequestResult kServer = RequestResult::kServerError;
constexpr RequestResult kGateway = RequestResult::kGatewayError;
constexpr RequestResult kConnect = RequestResult::kConnectFailure;

std::vector<Endpoint> endpoints_of(size_t count) {
  std::vector<Endpoint> endpoints;
  for (size_t i = 0; i < count; ++i)
    endpoints.push_back({{IpAddress::v4(10, 0, 0, static_cast<uint8_t>(i)), 80}});
  return endpoints;
}

OutlierSettings only_streaks() {
  OutlierSettings settings;
  settings.success_rate = false;
  settings.max_ejection_percent = 100;
  return settings;
}

struct Site {
  Site(const OutlierSettings& settings, size_t count) : detector(settings, kStart) {
    change(endpoints_of(count));
  }
  void change(const std::vector<Endpoint>& endpoints) {
    auto built = EndpointSet::build({}, endpoints, set.get(), now, kWorkers);
    ASSERT_TRUE(built.has_value()) << built.error().message;
    set = *built;
    detector.use(set);
  }
  // A request to `endpoint` ended; whichever worker it was.
  bool record(uint32_t endpoint, RequestResult result) {
    return set->state(endpoint)->results.record(worker++ % kWorkers, result, detector.settings().streaks);
  }
  void record(uint32_t endpoint, RequestResult result, int times) {
    for (int i = 0; i < times; ++i) record(endpoint, result);
  }
  // "E3:success-rate", "+3", "(4:...)" for ejected, readmitted and spared.
  std::vector<std::string> tick() {
    std::vector<std::string> lines;
    for (const OutlierEvent& event : detector.tick(now)) lines.push_back(text(event));
    return lines;
  }
  std::vector<std::string> tick_at_interval_end() {
    now += detector.settings().interval;
    return tick();
  }
  static std::string text(const OutlierEvent& event) {
    const std::string number = std::to_string(event.id.address.v4_bytes()[3]);
    const std::string reason(outlier_reason_name(event.ejection.reason));
    if (event.change == OutlierChange::kReadmitted) return "+" + number;
    return event.change == OutlierChange::kEjected ? "E" + number + ":" + reason
                                                   : "(" + number + ":" + reason + ")";
  }

  OutlierDetector detector;
  EndpointSet::Pointer set;
  PickTime now = kStart;
  uint32_t worker = 0;
};

TEST(RequestResult, OfStatusCodes) {
  EXPECT_EQ(result_of_http(200), kGood);
  EXPECT_EQ(result_of_http(429), kGood);
  EXPECT_EQ(result_of_http(499), kGood);
  EXPECT_EQ(result_of_http(500), kServer);
  EXPECT_EQ(result_of_http(501), kServer);
  for (const uint32_t status : {502u, 503u, 504u}) EXPECT_EQ(result_of_http(status), kGateway);
  EXPECT_EQ(result_of_http(505), kServer);
  for (uint8_t code = 0; code < kGrpcStatusCount; ++code) {
    const auto status = static_cast<GrpcStatus>(code);
    const RequestResult expected = code == 14 || code == 4                 ? kGateway
                                   : code == 2 || code == 13 || code == 15 ? kServer
                                                                           : kGood;
    EXPECT_EQ(result_of_grpc(status), expected) << grpc_status_name(status);
  }
}

TEST(EndpointResults, TellOneWorkerWhenARowIsFull) {
  EndpointResults results(kWorkers);
  StreakLimits limits;
  limits.gateway_errors = 3;
  const std::vector<std::pair<RequestResult, bool>> steps = {
      {kServer, false},  {kServer, false}, {kServer, false},  {kServer, false},  {kServer, true},
      {kServer, false},  {kGood, false},   {kGateway, false}, {kServer, false},  {kGateway, false},
      {kGateway, false}, {kGateway, true}, {kConnect, false}, {kConnect, false}, {kConnect, false},
      {kConnect, false}, {kConnect, true}, {kServer, false},  {kConnect, false}};
  uint32_t worker = 0;
  for (size_t i = 0; i < steps.size(); ++i) {
    EXPECT_EQ(results.record(worker++ % kWorkers, steps[i].first, limits), steps[i].second) << "step " << i;
  }
  EXPECT_EQ(results.counts().requests, steps.size());
  EXPECT_EQ(results.counts().failures, steps.size() - 1);
  EXPECT_EQ(results.connect_failures_in_a_row(), 1u);
}

TEST(EndpointResults, CountsOfManyThreadsAreExact) {
  EndpointResults results(kWorkers);
  constexpr int kTimes = 20'000;
  std::atomic<int> told{0};
  {
    std::vector<std::jthread> threads;
    for (uint32_t w = 0; w < kWorkers; ++w) {
      threads.emplace_back([&results, &told, w] {
        for (int i = 0; i < kTimes; ++i) told += results.record(w, kServer, {kTimes * 2, 0, 0}) ? 1 : 0;
      });
    }
  }
  EXPECT_EQ(results.counts().requests, uint64_t{kWorkers} * kTimes);
  EXPECT_EQ(results.counts().failures, uint64_t{kWorkers} * kTimes);
  EXPECT_EQ(results.server_errors_in_a_row(), kWorkers * kTimes);
  EXPECT_EQ(told, 1);
}

TEST(OutlierDetector, EjectsForErrorsInARowOfAnyWorkers) {
  struct Case {
    RequestResult result;
    StreakLimits limits;
    std::string expected;
  };
  for (const Case& c : {Case{kServer, {3, 0, 0}, "E1:consecutive-server-errors"},
                        Case{kGateway, {3, 0, 0}, "E1:consecutive-server-errors"},
                        Case{kGateway, {3, 3, 0}, "E1:consecutive-gateway-errors"},
                        Case{kConnect, {0, 0, 3}, "E1:consecutive-connect-failures"}}) {
    SCOPED_TRACE(c.expected);
    OutlierSettings settings = only_streaks();
    settings.streaks = c.limits;
    Site site(settings, 3);
    site.record(1, c.result, 2);
    site.record(1, kGood);
    site.record(1, c.result, 2);
    EXPECT_THAT(site.tick(), IsEmpty()) << "a good answer ends a row";
    EXPECT_TRUE(site.record(1, c.result));
    EXPECT_THAT(site.tick(), ElementsAre(c.expected));
    EXPECT_THAT(site.tick(), IsEmpty()) << "once";
    EXPECT_TRUE(site.detector.is_ejected(site.set->endpoints()[1].id));
  }
}

TEST(OutlierDetector, KindsThatAreOffDoNotEject) {
  OutlierSettings settings = only_streaks();
  settings.streaks = {0, 0, 0};
  Site site(settings, 3);
  for (const RequestResult result : {kServer, kGateway, kConnect}) site.record(0, result, 1000);
  EXPECT_THAT(site.tick(), IsEmpty());
  EXPECT_THAT(site.tick_at_interval_end(), IsEmpty());
}

TEST(OutlierDetector, EjectionsGrowAndFallBack) {
  OutlierSettings settings = only_streaks();
  settings.interval = seconds(10);
  settings.base_ejection = seconds(30);
  settings.max_ejection = seconds(100);
  Site site(settings, 2);
  // Ejected as soon as it is back: 30, 60, 90, then the most.
  for (const int expected : {30, 60, 90, 100, 100}) {
    site.record(0, kServer, 5);
    ASSERT_EQ(site.tick().size(), 1u);
    const Ejection ejection = *site.detector.view()[0].ejection;
    EXPECT_EQ(ejection.since, site.now);
    EXPECT_EQ(ejection.until - ejection.since, seconds(expected));
    site.now = ejection.until - milliseconds(1);
    EXPECT_THAT(site.tick(), IsEmpty());
    site.now = ejection.until;
    EXPECT_THAT(site.tick(), ElementsAre("+0"));
  }
  EXPECT_EQ(site.detector.view()[0].ejections, 5u);
  // Five intervals in service and it is as good as new.
  EXPECT_EQ(site.detector.view()[0].multiplier, 5u);
  for (int i = 0; i < 5; ++i) site.tick_at_interval_end();
  EXPECT_EQ(site.detector.view()[0].multiplier, 0u);
  site.record(0, kServer, 5);
  site.tick();
  EXPECT_EQ(site.detector.view()[0].ejection->until - site.now, seconds(30));
}

TEST(OutlierDetector, SaysWhenItIsDue) {
  Site site(only_streaks(), 2);
  EXPECT_EQ(site.detector.next_tick(), kStart + seconds(10));
  site.now += seconds(3);
  site.record(0, kServer, 5);
  site.tick();
  while (site.detector.ejected_count() > 0) {
    site.now = site.detector.next_tick();
    site.tick();
  }
  EXPECT_EQ(site.now, kStart + seconds(33)) << "not at the next end of an interval";
}

TEST(OutlierDetector, WhatWasUnderWayDoesNotCountAfterwards) {
  Site site(only_streaks(), 2);
  site.record(0, kServer, 5);
  EXPECT_EQ(site.tick().size(), 1u);
  site.record(0, kServer, 40);  // ends of requests that were sent before
  site.now += seconds(30);
  EXPECT_THAT(site.tick(), ElementsAre("+0"));
  site.record(0, kServer, 4);
  EXPECT_THAT(site.tick(), IsEmpty());
}

TEST(OutlierDetector, SparesWhenManyAreOut) {
  OutlierSettings settings = only_streaks();
  settings.max_ejection_percent = 40;
  Site site(settings, 5);
  for (uint32_t e = 0; e < 5; ++e) site.record(e, kConnect, 5);
  EXPECT_THAT(site.tick(), ElementsAre("E0:consecutive-connect-failures", "E1:consecutive-connect-failures",
                                       "(2:consecutive-connect-failures)", "(3:consecutive-connect-failures)",
                                       "(4:consecutive-connect-failures)"));
  EXPECT_EQ(site.detector.ejected_count(), 2u);
}

TEST(OutlierDetector, OneMayAlwaysBeOutUnlessNoneMay) {
  OutlierSettings settings = only_streaks();
  settings.max_ejection_percent = 10;
  Site few(settings, 3);
  for (uint32_t e = 0; e < 3; ++e) few.record(e, kServer, 5);
  few.tick();
  EXPECT_EQ(few.detector.ejected_count(), 1u);
  settings.max_ejection_percent = 0;
  Site none(settings, 3);
  none.record(0, kServer, 5);
  EXPECT_THAT(none.tick(), ElementsAre("(0:consecutive-server-errors)"));
}

TEST(OutlierDetector, SuccessRateIsMeasuredAgainstTheOthers) {
  OutlierSettings settings;
  settings.streaks = {0, 0, 0};
  settings.max_ejection_percent = 100;
  Site site(settings, 6);
  // Rates 100 x 5 and 40: mean 90, deviation sqrt((5 x 100 + 2500) / 6) = 22.3607, limit 90 - 42.4853.
  for (uint32_t e = 0; e < 6; ++e) {
    site.record(e, kGood, e == 3 ? 80 : 200);
    if (e == 3) site.record(e, kServer, 120);
  }
  EXPECT_THAT(site.tick(), IsEmpty()) << "not before the interval is over";
  EXPECT_THAT(site.tick_at_interval_end(), ElementsAre("E3:success-rate"));
  ASSERT_TRUE(site.detector.success_rate_limit().has_value());
  EXPECT_NEAR(*site.detector.success_rate_limit(), 90 - 1.9 * std::sqrt(500.0), 1e-9);
  const OutlierView view = site.detector.view()[3];
  EXPECT_NEAR(view.ejection->observed, 40, 1e-9);
  EXPECT_NEAR(view.ejection->limit, 47.5147, 1e-3);
  EXPECT_EQ(view.requests, 200u);
  EXPECT_NEAR(*view.success_rate, 40, 1e-9);
}

TEST(OutlierDetector, SuccessRateNeedsEnoughToGoBy) {
  OutlierSettings settings;
  settings.success_rate_factor = 1;  // with 1.9 one of four can never be so far below
  settings.streaks = {0, 0, 0};
  const auto ejected = [&](size_t endpoints, int requests) {
    Site site(settings, endpoints);
    for (uint32_t e = 0; e < endpoints; ++e) site.record(e, e == 0 ? kServer : kGood, requests);
    return site.tick_at_interval_end().size();
  };
  EXPECT_EQ(ejected(5, 100), 1u);
  EXPECT_EQ(ejected(5, 99), 0u);
  EXPECT_EQ(ejected(4, 100), 0u);
}

TEST(OutlierDetector, EachIntervalCountsForItself) {
  OutlierSettings settings;
  settings.streaks = {0, 0, 0};
  Site site(settings, 6);
  for (uint32_t e = 0; e < 6; ++e) site.record(e, kGood, 10'000);
  EXPECT_THAT(site.tick_at_interval_end(), IsEmpty());
  for (uint32_t e = 0; e < 6; ++e) site.record(e, e == 2 ? kGateway : kGood, 100);
  EXPECT_THAT(site.tick_at_interval_end(), ElementsAre("E2:success-rate"));
}

TEST(OutlierDetector, TheWorstIsEjectedFirst) {
  OutlierSettings settings;
  settings.streaks = {0, 0, 0};
  settings.success_rate_factor = 0.5;
  settings.max_ejection_percent = 10;
  Site site(settings, 10);
  for (uint32_t e = 0; e < 10; ++e) {
    const int bad = e == 2 ? 50 : e == 7 ? 90 : 0;
    site.record(e, kServer, bad);
    site.record(e, kGood, 100 - bad);
  }
  EXPECT_THAT(site.tick_at_interval_end(), ElementsAre("E7:success-rate", "(2:success-rate)"));
}

// 30 endpoints of which each request fails with 1 %: nobody is worse than the others, so nobody is ejected,
// in any of 200 intervals. Without the least gap the deviation alone would eject somebody nearly every time.
TEST(OutlierDetector, ChanceAloneEjectsNobody) {
  OutlierSettings settings;
  settings.streaks = {5, 0, 5};
  Random random(3);
  const auto ejections = [&](double gap) {
    settings.success_rate_min_gap = gap;
    Site site(settings, 30);
    size_t count = 0;
    for (int interval = 0; interval < 200; ++interval) {
      for (uint32_t e = 0; e < 30; ++e) {
        for (int i = 0; i < 150; ++i) site.record(e, random.unit() < 0.01 ? kServer : kGood);
      }
      count += site.tick_at_interval_end().size();
    }
    return count;
  };
  EXPECT_EQ(ejections(5.0), 0u);
  EXPECT_GT(ejections(0.0), 50u);
}

// The same, but one of them fails one request in five: it is found in the first interval, and only it.
TEST(OutlierDetector, FindsTheOneThatIsWorse) {
  Random random(9);
  OutlierSettings settings;
  Site site(settings, 30);
  for (uint32_t e = 0; e < 30; ++e) {
    for (int i = 0; i < 300; ++i) site.record(e, random.unit() < (e == 11 ? 0.2 : 0.01) ? kServer : kGood);
  }
  EXPECT_THAT(site.tick_at_interval_end(), ElementsAre("E11:success-rate"));
}

TEST(OutlierDetector, FailurePercentageLooksAtNobodyElse) {
  OutlierSettings settings = only_streaks();
  settings.streaks = {0, 0, 0};
  settings.failure_percentage = 85;
  Site site(settings, 5);
  for (uint32_t e = 0; e < 5; ++e) {
    const int bad = e == 4 ? 84 : 85;
    site.record(e, kGood, 100 - bad);
    site.record(e, kGateway, bad);
  }
  EXPECT_EQ(site.tick_at_interval_end().size(), 4u);
  EXPECT_FALSE(site.detector.is_ejected(site.set->endpoints()[4].id));
  EXPECT_NEAR(site.detector.view()[0].ejection->observed, 85, 1e-9);
  // Enough requests, enough endpoints.
  Site quiet(settings, 5);
  for (uint32_t e = 0; e < 5; ++e) quiet.record(e, kServer, 49);
  EXPECT_THAT(quiet.tick_at_interval_end(), IsEmpty());
  Site few(settings, 4);
  for (uint32_t e = 0; e < 4; ++e) few.record(e, kServer, 100);
  EXPECT_THAT(few.tick_at_interval_end(), IsEmpty());
}

TEST(OutlierDetector, RemembersEndpointsThatStay) {
  Site site(only_streaks(), 3);
  site.record(0, kServer, 5);
  site.record(2, kServer, 4);
  site.tick();
  auto endpoints = endpoints_of(3);
  endpoints[0].ejected = true;
  endpoints.push_back({{IpAddress::v4(10, 0, 0, 9), 80}});
  site.change(endpoints);
  EXPECT_TRUE(site.detector.is_ejected(endpoints[0].id));
  EXPECT_EQ(site.detector.ejected_count(), 1u);
  site.record(2, kServer);
  EXPECT_THAT(site.tick(), ElementsAre("E2:consecutive-server-errors"));
  endpoints.erase(endpoints.begin());
  site.change(endpoints);
  EXPECT_EQ(site.detector.ejected_count(), 1u) << "one of the two has gone";
  EXPECT_EQ(site.detector.view().size(), 3u);
}

TEST(OutlierDetector, TheOperatorMayLetOneIn) {
  Site site(only_streaks(), 2);
  site.record(1, kConnect, 5);
  site.tick();
  const EndpointId id = site.set->endpoints()[1].id;
  site.now += seconds(1);
  const auto event = site.detector.readmit(id, site.now);
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->ejection.until, site.now);
  EXPECT_EQ(event->ejection.reason, OutlierReason::kConnectFailures);
  EXPECT_FALSE(site.detector.is_ejected(id));
  EXPECT_FALSE(site.detector.readmit(id, site.now).has_value());
}

TEST(OutlierDetector, RefusesWhatMakesNoSense) {
  const auto refused = [](auto change) {
    OutlierSettings settings;
    change(settings);
    const auto accepted = check_outlier_settings(settings);
    return accepted ? "accepted" : accepted.error().message;
  };
  EXPECT_EQ(refused([](OutlierSettings&) {}), "accepted");
  EXPECT_THAT(refused([](OutlierSettings& s) { s.success_rate_factor = -1; }),
              HasSubstr("success_rate_factor"));
  EXPECT_THAT(refused([](OutlierSettings& s) { s.success_rate_min_gap = 101; }), HasSubstr("min_gap"));
  EXPECT_THAT(refused([](OutlierSettings& s) { s.failure_percentage = 101; }),
              HasSubstr("failure_percentage"));
  EXPECT_THAT(refused([](OutlierSettings& s) { s.interval = seconds(0); }), HasSubstr("interval"));
  EXPECT_THAT(refused([](OutlierSettings& s) { s.base_ejection = seconds(0); }), HasSubstr("base_ejection"));
  EXPECT_THAT(refused([](OutlierSettings& s) { s.max_ejection_percent = 101; }),
              HasSubstr("max_ejection_percent"));
}

// All of it together: picks by least request, one of ten endpoints fails half of its requests; what clients
// see.
TEST(OutlierDetector, TakesABadEndpointOutOfTraffic) {
  OutlierSettings settings;
  Site site(settings, 10);
  Random random(17);
  Picker picker;
  picker.use(site.set, site.now, random);
  std::vector<int> failures_per_interval;
  for (int interval = 0; interval < 3; ++interval) {
    int failures = 0;
    for (int i = 0; i < 5000; ++i) {
      site.now += milliseconds(2);
      const uint32_t e = picker.pick({}, site.now, random).value();
      const bool bad = e == 6 && random.unit() < 0.5;
      failures += bad ? 1 : 0;
      const bool due = site.record(e, bad ? kServer : kGood);
      if (!due && site.now < site.detector.next_tick()) continue;
      if (site.detector.tick(site.now).empty()) continue;
      auto endpoints = endpoints_of(10);
      for (Endpoint& endpoint : endpoints) endpoint.ejected = site.detector.is_ejected(endpoint.id);
      site.change(endpoints);
      picker.use(site.set, site.now, random);
    }
    failures_per_interval.push_back(failures);
  }
  EXPECT_GT(failures_per_interval[0], 0);
  EXPECT_LT(failures_per_interval[0], 260);
  EXPECT_EQ(failures_per_interval[1], 0);
  EXPECT_EQ(failures_per_interval[2], 0);
}

}  // namespace
}  // namespace sluice
