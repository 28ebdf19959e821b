// How a cluster's endpoints are discovered, in sluice-proxy's configuration file.
#pragma once

#include "control/config_reader.h"
#include "control/proxy/proxy_config.h"

namespace sluice {

/// Reads `clusters[].discovery` of the cluster `section`; one that is there excludes `endpoints`.
void read_discovery(const ConfigSection& section, ClusterCare& care);

}  // namespace sluice
