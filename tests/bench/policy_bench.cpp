// policy_bench: what the proxy's decisions cost, in nanoseconds of CPU time of one thread (median of 31
// runs). Nobody else writes the counters here: what other cores add to a cache line's way is not in it.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "lb/l7/picker.h"
#include "lb/l7/route_table.h"

namespace sluice {
namespace {

double thread_cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

template <typename Body>
double median_ns(int times, Body body) {
  std::vector<double> runs;
  for (int run = 0; run < 31; ++run) {
    const double begin = thread_cpu_ns();
    for (int i = 0; i < times; ++i) body(i);
    runs.push_back((thread_cpu_ns() - begin) / times);
  }
  std::ranges::nth_element(runs, runs.begin() + 15);
  return runs[15];
}

std::vector<Endpoint> endpoints_of(uint32_t count, bool equal) {
  std::vector<Endpoint> endpoints;
  for (uint32_t i = 0; i < count; ++i) {
    const auto address = IpAddress::v4(10, 0, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i));
    endpoints.push_back({{address, 80}, equal ? 1 : 1 + i * 7919 % 100});
  }
  return endpoints;
}

EndpointSet::Pointer set_of(PickPolicy policy, uint32_t count, bool equal) {
  PickSettings settings;
  settings.policy = policy;
  settings.ring_max = 1u << 18;
  auto set = EndpointSet::build(settings, endpoints_of(count, equal), nullptr, PickTime{});
  if (!set) std::abort();
  return *set;
}

void picks() {
  const struct {
    PickPolicy policy;
    const char* name;
  } policies[] = {{PickPolicy::kRoundRobin, "round robin"},
                  {PickPolicy::kWeightedRoundRobin, "weighted round robin"},
                  {PickPolicy::kLeastRequest, "least request"},
                  {PickPolicy::kPeakEwma, "peak EWMA"},
                  {PickPolicy::kRandom, "random"},
                  {PickPolicy::kRingHash, "ring hash"},
                  {PickPolicy::kMaglev, "Maglev"}};
  fmt::print("{:<22}{:>10}{:>10}{:>14}{:>14}{:>16}\n", "pick, ns", "10", "1000", "10 weighted",
             "1000 weighted", "build 1000, ms");
  for (const auto& policy : policies) {
    fmt::print("{:<22}", policy.name);
    for (const bool equal : {true, false}) {
      for (const uint32_t count : {10u, 1000u}) {
        Random random(1);
        Picker picker;
        PickTime now{std::chrono::seconds(1)};
        picker.use(set_of(policy.policy, count, equal), now, random);
        for (uint32_t e = 0; e < count; ++e) {
          picker.observe(*picker.set()->state(e), std::chrono::milliseconds(1 + e % 7), false, now);
        }
        uint64_t sum = 0;
        const double ns = median_ns(20'000, [&](int) {
          sum += picker.pick({random(), {}}, now += std::chrono::microseconds(1), random).value();
        });
        if (sum == 1) fmt::print("!");  // so that nothing is optimized away
        fmt::print("{:>{}.1f}", ns, equal ? 10 : 14);
      }
    }
    fmt::print("{:>16.2f}\n", median_ns(1, [&](int) { set_of(policy.policy, 1000, true); }) / 1e6);
  }
}

void results() {
  EndpointResults results(1);
  const StreakLimits limits;
  fmt::print("{:<22}{:>10.1f}\n", "record a success",
             median_ns(20'000, [&](int) { results.record(0, RequestResult::kSuccess, limits); }));
}

void routes() {
  for (const int count : {10, 100, 1000}) {
    VirtualHost host{"site", {"*.example.com"}, {}};
    for (int i = 0; i < count; ++i) {
      Route route;
      route.match.path = {PathMatchKind::kSegments, fmt::format("/service-{}", i)};
      route.action = ForwardAction{{{"web"}}};
      host.routes.push_back(route);
    }
    const std::vector<std::string> clusters = {"web"};
    const auto table = RouteTable::build({{host}}, clusters);
    if (!table) std::abort();
    const std::string path = fmt::format("/service-{}/x", count - 1);
    fmt::print("{:<22}{:>10.1f}\n", fmt::format("last of {} routes", count), median_ns(2000, [&](int) {
                 if ((*table)->match({"www.example.com", "GET", path}) == nullptr) std::abort();
               }));
  }
}

}  // namespace
}  // namespace sluice

int main() {
  sluice::picks();
  sluice::results();
  sluice::routes();
}
