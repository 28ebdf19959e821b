// Clusters of Envoy's bootstrap.
#pragma once

#include "control/proxy/envoy_draft.h"

namespace sluice {

/// Reads a Cluster.
void read_envoy_cluster(const EnvoyMessage& message, EnvoyDraft& draft);

}  // namespace sluice
