// Pick policies under load, by simulation: several workers over the same counters, and endpoints that are
// busy.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <queue>

#include "tests/unit/picker_site.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using test::endpoints_of;
using test::equal_endpoints;
using test::kStart;
using test::settings_of;

// Several workers, each with its own picker, over the same counters.
class Workers {
 public:
  Workers(const PickSettings& settings, std::vector<Endpoint> endpoints, size_t count) {
    set_ = *EndpointSet::build(settings, std::move(endpoints), nullptr, kStart);
    for (size_t w = 0; w < count; ++w) {
      randoms_.emplace_back(100 + w);
      pickers_.emplace_back();
      pickers_.back().use(set_, kStart, randoms_.back());
    }
  }
  uint32_t pick(size_t worker, PickTime now = kStart) {
    return pickers_[worker].pick({}, now, randoms_[worker]).value();
  }
  Picker& picker(size_t worker) { return pickers_[worker]; }
  EndpointState& state(uint32_t endpoint) { return *set_->state(endpoint); }
  size_t endpoints() const { return set_->endpoints().size(); }
  size_t count() const { return pickers_.size(); }

 private:
  EndpointSet::Pointer set_;
  std::vector<Random> randoms_;
  std::vector<Picker> pickers_;
};

TEST(Picker, WorkersDoNotBeginWithTheSameEndpoint) {
  Workers workers(settings_of(PickPolicy::kRoundRobin), equal_endpoints(16), 64);
  std::vector<int> counts(16);
  for (size_t w = 0; w < workers.count(); ++w) ++counts[workers.pick(w)];
  EXPECT_LE(*std::ranges::max_element(counts), 13);
}

TEST(Picker, LeastRequestSeesTheRequestsOfAllWorkers) {
  Workers workers(settings_of(PickPolicy::kLeastRequest), equal_endpoints(2), 2);
  for (int i = 0; i < 10; ++i) workers.state(1).start_request();
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(workers.pick(0), 0u);
    EXPECT_EQ(workers.pick(1), 0u);
  }
}

// Balls into bins without any leaving: with two choices the fullest is ln ln n above the average, with one
// sqrt-ish.
TEST(Picker, TwoChoicesAreFarBetterThanOne) {
  const auto fullest_above_average = [](PickPolicy policy) {
    Workers workers(settings_of(policy), equal_endpoints(100), 8);
    for (int i = 0; i < 100'000; ++i) workers.state(workers.pick(static_cast<size_t>(i) % 8)).start_request();
    uint32_t fullest = 0;
    for (uint32_t e = 0; e < 100; ++e) fullest = std::max(fullest, workers.state(e).active_requests());
    return fullest - 1000;
  };
  EXPECT_LE(fullest_above_average(PickPolicy::kLeastRequest), 5u);
  EXPECT_GE(fullest_above_average(PickPolicy::kRandom), 40u);
}

// Herd: 64 workers decide at the same time, before any of them sees what the others did. Who looks at all
// endpoints sends them all to the emptiest; who looks at two does not.
TEST(Picker, StaleCountersMakeNoHerdOfTwoChoices) {
  const auto most_in_one_burst = [](uint32_t choices) {
    PickSettings settings = settings_of(PickPolicy::kLeastRequest);
    settings.choices = choices;
    Workers workers(settings, equal_endpoints(16), 64);
    for (uint32_t e = 0; e < 16; ++e) {
      for (uint32_t i = 0; i < 10 + e; ++i) workers.state(e).start_request();
    }
    std::vector<int> counts(16);
    for (size_t w = 0; w < workers.count(); ++w) ++counts[workers.pick(w)];
    return *std::ranges::max_element(counts);
  };
  EXPECT_EQ(most_in_one_burst(16), 64);
  EXPECT_LE(most_in_one_burst(2), 20);
}

// A queue per endpoint that serves one request at a time, in discrete time.
struct Simulation {
  std::vector<nanoseconds> service;  // per endpoint
  double requests_per_second;
  int requests;

  struct Outcome {
    std::vector<double> shares;
    double mean_ms = 0;
    double p99_ms = 0;
  };
  Outcome run(PickPolicy policy, std::vector<Endpoint> endpoints, uint64_t seed = 5) const {
    Workers workers(settings_of(policy), std::move(endpoints), 4);
    struct End {
      PickTime at;
      PickTime began;
      uint32_t endpoint;
      size_t worker;
      bool operator>(const End& other) const { return at > other.at; }
    };
    std::priority_queue<End, std::vector<End>, std::greater<>> ends;
    std::vector<PickTime> free_at(service.size(), kStart);
    Outcome outcome{std::vector<double>(service.size())};
    std::vector<double> latencies;
    Random random(seed);
    PickTime now = kStart;
    for (int i = 0; i < requests; ++i) {
      now += nanoseconds(static_cast<int64_t>(-std::log(1 - random.unit()) / requests_per_second * 1e9));
      while (!ends.empty() && ends.top().at <= now) {
        const End end = ends.top();
        ends.pop();
        workers.state(end.endpoint).end_request();
        workers.picker(end.worker).observe(workers.state(end.endpoint), end.at - end.began, false, end.at);
        latencies.push_back(std::chrono::duration<double, std::milli>(end.at - end.began).count());
      }
      const size_t worker = random.below(workers.count());
      const uint32_t e = workers.pick(worker, now);
      workers.state(e).start_request();
      const auto work = nanoseconds(
          static_cast<int64_t>(-std::log(1 - random.unit()) * static_cast<double>(service[e].count())));
      free_at[e] = std::max(free_at[e], now) + work;
      ends.push({free_at[e], now, e, worker});
      outcome.shares[e] += 1.0 / requests;
    }
    std::ranges::sort(latencies);
    outcome.mean_ms =
        std::accumulate(latencies.begin(), latencies.end(), 0.0) / static_cast<double>(latencies.size());
    outcome.p99_ms = latencies[latencies.size() * 99 / 100];
    return outcome;
  }
};

TEST(Picker, LoadSharesFollowWeightsWhenEndpointsAreBusy) {
  // Capacities 1 : 2 : 4 and weights that say so, at 90 % of what they can do.
  const Simulation simulation{{milliseconds(40), milliseconds(20), milliseconds(10)}, 0.9 * 175, 60'000};
  const auto outcome = simulation.run(PickPolicy::kLeastRequest, endpoints_of({1, 2, 4}));
  EXPECT_NEAR(outcome.shares[0], 1.0 / 7, 0.025);
  EXPECT_NEAR(outcome.shares[1], 2.0 / 7, 0.025);
  EXPECT_NEAR(outcome.shares[2], 4.0 / 7, 0.035);
}

TEST(Picker, LeastRequestQueuesLessThanRandom) {
  const Simulation simulation{std::vector<nanoseconds>(20, milliseconds(10)), 0.8 * 2000, 60'000};
  const auto least = simulation.run(PickPolicy::kLeastRequest, equal_endpoints(20));
  const auto random = simulation.run(PickPolicy::kRandom, equal_endpoints(20));
  EXPECT_LT(least.p99_ms, random.p99_ms / 2);
  EXPECT_LT(least.mean_ms, random.mean_ms / 1.5);
}

TEST(Picker, PeakEwmaAvoidsASlowEndpoint) {
  Simulation simulation{std::vector<nanoseconds>(10, milliseconds(2)), 300, 40'000};
  simulation.service[3] = milliseconds(100);
  const auto ewma = simulation.run(PickPolicy::kPeakEwma, equal_endpoints(10));
  const auto random = simulation.run(PickPolicy::kRandom, equal_endpoints(10));
  EXPECT_LT(ewma.shares[3], 0.02);
  EXPECT_GT(random.shares[3], 0.09);
  EXPECT_LT(ewma.p99_ms, random.p99_ms / 5);
  for (size_t i = 0; i < 10; ++i) {
    if (i == 3) continue;
    EXPECT_NEAR(ewma.shares[i], 0.11, 0.06) << i;
  }
}

}  // namespace
}  // namespace sluice
