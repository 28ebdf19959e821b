// sluice-proxy's numbers in Prometheus' text format. docs/proxy-metrics.md is tested against the table.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "control/metrics/exposition.h"
#include "control/proxy/discoveries.h"
#include "control/proxy/otlp_exporter.h"
#include "dataplane/l7/proxy.h"

namespace sluice {

/// All metrics, in the order of the output.
std::span<const Metric> proxy_metrics();

struct ProxyMetricsInput {
  std::string name;  ///< of the proxy
  std::string version;
  bool reload_good = true;
  bool draining = false;
  std::vector<control::DiscoveryStatus> discoveries;
  control::TraceExportCounts trace;
};

/// The text. Counters are read where the workers keep them, so that no worker is asked.
std::string render_proxy_metrics(const ProxyMetricsInput& input, const l7::Proxy& proxy);

}  // namespace sluice
