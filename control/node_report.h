// What a node says about itself, read from its parts at this moment.
#pragma once

#include <string>
#include <vector>

#include "control/flow_report.h"
#include "control/node.h"
#include "control/report.h"

namespace sluice::control {

/// Sums the workers' counters. `config_error`: why the last reload was refused, or "".
Report report_of(const Node& node, const std::string& config_error);

/// How many flows each backend has by the last survey; with `ask`, another one is begun.
FlowReport flow_report_of(Node& node, bool ask);

std::vector<PortReport> port_reports(const Node& node);
std::vector<WorkerReport> worker_reports(const Node& node);
/// "80", "8000-8100", "any"
std::string ports_text(const PortRange& ports);

}  // namespace sluice::control
