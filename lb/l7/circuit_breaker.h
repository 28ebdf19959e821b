// Bounds on what one cluster may hold at a time: what is above them is refused at once, instead of queued
// until everything is late.
#pragma once

#include <algorithm>
#include <cstdint>

#include "lb/l7/limited_count.h"

namespace sluice {

/// Of a cluster, over all workers.
struct CircuitLimits {
  /// Open or being opened. A worker may have one to each endpoint whatever this says: without any it could
  /// serve nobody, and would wait for another worker to let one go.
  uint32_t connections = 16384;
  /// Requests that wait for a connection or for a stream on one. As many as may be open: before the first
  /// connections are made, all of a burst wait.
  uint32_t pending = 16384;
  uint32_t requests = 16384;  ///< sent and not yet ended
  friend bool operator==(const CircuitLimits&, const CircuitLimits&) = default;
};

/// Retries, as a part of what is under way: when all endpoints fail, a fixed number per request would
/// multiply the load just when it hurts (Google SRE book, chapter 22; Finagle's retry budgets).
struct RetryBudget {
  uint32_t percent = 20;         ///< of the open requests, 0..100
  uint32_t min_concurrent = 32;  ///< but so many always: the requests in flight to one endpoint that dies
  friend bool operator==(const RetryBudget&, const RetryBudget&) = default;
};

/// How many retries may be under way when `active` requests are, those retries included.
constexpr uint32_t retry_limit(const RetryBudget& budget, uint32_t active) {
  return std::max(budget.min_concurrent, static_cast<uint32_t>(uint64_t{active} * budget.percent / 100));
}

/// The counts of one cluster, shared by its workers; the limits are given with each call, so that they may
/// change. What a request writes on its way is alone on its cache line.
struct CircuitBreakers {
  alignas(64) LimitedCount requests;
  alignas(64) LimitedCount pending;
  LimitedCount connections;
  LimitedCount retries;

  /// A retry may begin; retries.give_back() when it has ended.
  bool try_retry(const RetryBudget& budget) {
    return retries.try_take(retry_limit(budget, requests.count()));
  }
};
static_assert(sizeof(CircuitBreakers) == 128, "two cache lines: what every request writes, and the rest");

}  // namespace sluice
