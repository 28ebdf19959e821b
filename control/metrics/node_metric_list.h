// Every metric of sluiced, in one table: docs/metrics.md, the alert rules and the dashboard are tested
// against it, and the metrics are written in its order.
#pragma once

#include <span>
#include <string_view>

#include "control/metrics/exposition.h"

namespace sluice {

/// In the order of the output.
std::span<const Metric> node_metrics();

/// The metric of that name. Throws std::logic_error if there is none: a slip in the code.
const Metric& node_metric(std::string_view name);

}  // namespace sluice
