// What sluice-proxy's listeners, routes, clusters and endpoints carry, in Prometheus' text format.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "control/metrics/exposition.h"
#include "dataplane/l7/snapshot.h"

namespace sluice {

/// In the order of the output.
std::span<const Metric> proxy_traffic_metrics();

/// Writes all of them.
void write_proxy_traffic(Exposition& text, const l7::ProxySnapshot& snapshot);

/// Adds one worker's histogram to sums over all of them.
void add_histogram(const l7::TimeHistogram& histogram, std::array<uint64_t, l7::kSecondsBuckets>& buckets,
                   uint64_t& nanoseconds);

}  // namespace sluice
