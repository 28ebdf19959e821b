// Health checks and outlier detection of a cluster in Envoy's bootstrap.
#pragma once

#include "control/proxy/envoy_document.h"
#include "control/proxy/proxy_config.h"

namespace sluice {

/// Reads `health_checks`: none or one. `settings` has name and TLS already.
void read_envoy_health(const EnvoyMessage& cluster, const l7::ClusterSettings& settings, ClusterCare& care);

/// Reads `outlier_detection`, if it is there.
void read_envoy_outlier(const EnvoyMessage& cluster, l7::ClusterSettings& settings, ClusterCare& care);

}  // namespace sluice
