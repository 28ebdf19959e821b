// Route configuration in Envoy's bootstrap.
#pragma once

#include <chrono>

#include "control/proxy/envoy_draft.h"
#include "lb/l7/route_config.h"

namespace sluice {

/// Reads a RouteConfiguration. `idle_timeout` is that of routes which have none of their own.
RouteConfig read_envoy_routes(const EnvoyMessage& config, std::chrono::milliseconds idle_timeout,
                              EnvoyDraft& draft);

}  // namespace sluice
