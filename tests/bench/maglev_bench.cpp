// maglev_bench [--json]: how long a Maglev table takes to build. Median of many builds, in milliseconds of
// CPU time (a build is one thread that waits for nothing; on a busy machine the wall clock measures the
// neighbours); with --json the equal weights only, as [{"backends": 1000, "size": 65537, "ms": 0.0}, ...].
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string_view>
#include <vector>

#include "lb/cpu_clones.h"
#include "lb/maglev.h"

namespace sluice {
namespace {

enum class Weights { kEqual, kMixed };

std::vector<MaglevEntry> make_pool(uint32_t backends, Weights weights) {
  std::vector<MaglevEntry> entries;
  for (uint32_t i = 0; i < backends; ++i) {
    const auto address = IpAddress::v4(10, 0, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i));
    const uint32_t weight = weights == Weights::kEqual ? 100 : 1 + i * 7919 % 1000;
    entries.push_back({address, weight, static_cast<uint16_t>(i)});
  }
  return entries;
}

double thread_cpu_ms() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

double median_build_ms(const std::vector<MaglevEntry>& entries, uint32_t size) {
  using Clock = std::chrono::steady_clock;
  const SipKey seed = cluster_key("maglev_bench");
  std::vector<double> times_ms;
  const auto end = Clock::now() + std::chrono::milliseconds(500);
  while (times_ms.size() < 15 || Clock::now() < end) {
    const double start_ms = thread_cpu_ms();
    const auto table = build_maglev(entries, size, seed);
    times_ms.push_back(thread_cpu_ms() - start_ms);
    if (!table || table->size() != size) {
      fmt::print(stderr, "maglev_bench: {}\n", table ? "wrong table" : table.error().message);
      std::exit(1);
    }
  }
  const auto middle = times_ms.begin() + static_cast<ptrdiff_t>(times_ms.size() / 2);
  std::nth_element(times_ms.begin(), middle, times_ms.end());
  return *middle;
}

void run(bool json) {
  const char* separator = "[";
  if (!json) fmt::print("CPU: {}\nbackends    size  equal ms  mixed ms\n", cpu_clone_name());
  for (const uint32_t size : {65537u, 655373u}) {
    for (const uint32_t backends : {10u, 100u, 1000u}) {
      const double equal_ms = median_build_ms(make_pool(backends, Weights::kEqual), size);
      if (json) {
        fmt::print("{}{{\"backends\": {}, \"size\": {}, \"ms\": {:.3f}}}", separator, backends, size,
                   equal_ms);
        separator = ", ";
        continue;
      }
      const double mixed_ms = median_build_ms(make_pool(backends, Weights::kMixed), size);
      fmt::print("{:8} {:7} {:9.3f} {:9.3f}\n", backends, size, equal_ms, mixed_ms);
    }
  }
  if (json) fmt::print("]\n");
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  const bool json = argc == 2 && std::string_view(argv[1]) == "--json";
  if (argc > 1 && !json) {
    fmt::print(stderr, "usage: maglev_bench [--json]\n");
    return 2;
  }
  sluice::run(json);
  return 0;
}
