// The part of a pool in the configuration file that says how backends are checked and what follows.
#pragma once

#include "control/config_reader.h"
#include "lb/health_check.h"

namespace sluice {

/// Reads `pools[].health`; an absent map leaves `check` as it is.
void read_health(const ConfigSection& section, HealthCheck& check);

/// Reads min_healthy and its neighbours from `pools[]`.
void read_pool_policy(const ConfigSection& section, PoolPolicy& policy);

}  // namespace sluice
