// What a node says about itself, read from its parts at this moment.
#pragma once

#include <string>

#include "control/node.h"
#include "control/report.h"

namespace sluice::control {

/// Sums the workers' counters. `config_error`: why the last reload was refused, or "".
Report report_of(const Node& node, const std::string& config_error);

}  // namespace sluice::control
