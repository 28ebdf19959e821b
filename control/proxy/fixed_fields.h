// What a reload cannot change. Each such field is refused by name: a file that is taken, and in which a field
// means nothing until one day the process restarts, is a trap.
#pragma once

#include "control/proxy/proxy_config.h"
#include "lb/result.h"

namespace sluice::control {

/// Whether a process that runs under `in_force` can go on under `wanted` as far as these fields go. The error
/// names the first that differs, and what takes it: an upgrade (docs/upgrade.md) or a restart.
Result<void> check_fixed_fields(const ProxyConfig& in_force, const ProxyConfig& wanted);

}  // namespace sluice::control
