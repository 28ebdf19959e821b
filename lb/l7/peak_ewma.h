// How long an endpoint takes to answer, as an average that believes bad news at once and good news slowly: a
// peak raises it to the peak, better answers pull it down over the decay time. Idea: Finagle's "Peak EWMA"
// balancer.
#pragma once

#include <algorithm>
#include <cmath>

#include "lb/l7/endpoint.h"

namespace sluice {

class PeakEwma {
 public:
  /// Whether there was an answer yet.
  bool known() const { return value_ns_ >= 0; }
  /// What a failure is taken for of an endpoint that has not answered yet: most answer faster.
  static constexpr std::chrono::milliseconds kFirstFailure{100};

  /// An answer took `latency`. A failed one only ever raises the average: to fail fast is no merit, not even
  /// as the first thing that is known of an endpoint.
  void observe(std::chrono::nanoseconds latency, bool failed, PickTime now, std::chrono::nanoseconds decay) {
    if (failed && !known()) latency = std::max<std::chrono::nanoseconds>(latency, kFirstFailure);
    const auto seen = static_cast<double>(latency.count());
    const double kept = remembered(now, decay);
    if (seen > value_ns_) {  // also the first
      value_ns_ = seen;
    } else if (!failed) {
      value_ns_ = value_ns_ * kept + seen * (1 - kept);
    }
    at_ = std::max(at_, now);
  }
  /// Nanoseconds; only if known(). Fades while nobody asks, so that an endpoint that once was slow is tried
  /// again.
  double expected_ns(PickTime now, std::chrono::nanoseconds decay) const {
    return value_ns_ * remembered(now, decay);
  }

 private:
  double remembered(PickTime now, std::chrono::nanoseconds decay) const {
    const auto passed = std::max<int64_t>(0, std::chrono::nanoseconds(now - at_).count());
    return std::exp(-static_cast<double>(passed) / static_cast<double>(decay.count()));
  }
  double value_ns_ = -1;
  PickTime at_{};
};

}  // namespace sluice
