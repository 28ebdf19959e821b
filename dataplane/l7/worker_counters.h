// What a worker counts of the requests that it carried. Written by that worker alone, read by anybody.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "dataplane/l7/outcome.h"
#include "lb/counter.h"

namespace sluice::l7 {

/// Upper bounds of the buckets of request times, in seconds.
inline constexpr std::array<double, 14> kRequestSecondsBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                                 0.25,  0.5,    1,     2.5,  5,     10,   60};

struct WorkerCounters {
  std::array<Counter, kOutcomes> outcomes;
  Counter hedges;                         ///< second tries beside a slow first one
  Counter hedges_won;                     ///< those that answered first
  std::array<Counter, kOutcomes> copies;  ///< of requests, made for mirrors; by how they ended
  std::array<Counter, kRequestSecondsBounds.size() + 1> request_seconds;  ///< the last: above all bounds
  Counter request_nanoseconds;                                            ///< their sum
  Counter accept_failures;                                                ///< no descriptor or memory for one
  Counter clients;                                                        ///< connections taken

  /// A request has ended so, `time` after its head came.
  void count(Outcome outcome, std::chrono::nanoseconds time) {
    outcomes[static_cast<size_t>(outcome)].add(1);
    const double seconds = std::chrono::duration<double>(time).count();
    const auto bucket = std::lower_bound(kRequestSecondsBounds.begin(), kRequestSecondsBounds.end(), seconds);
    request_seconds[static_cast<size_t>(bucket - kRequestSecondsBounds.begin())].add(1);
    request_nanoseconds.add(static_cast<uint64_t>(std::max<int64_t>(time.count(), 0)));
  }
};

}  // namespace sluice::l7
