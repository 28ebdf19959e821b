// The endpoints of a cluster in Envoy's bootstrap: addresses, or names that DNS knows.
#pragma once

#include "control/proxy/envoy_draft.h"

namespace sluice {

/// Reads `load_assignment` and what belongs to names of a Cluster.
void read_envoy_endpoints(const EnvoyMessage& cluster, l7::ClusterSettings& settings, ClusterCare& care);

}  // namespace sluice
