// The virtual hosts and routes of a listener in sluice-proxy's configuration file.
#pragma once

#include <string>
#include <vector>

#include "control/config_reader.h"
#include "lb/l7/route_config.h"

namespace sluice {

/// Where a cluster is named, to be checked when all are known.
struct ClusterReference {
  ConfigSection section;
  const YamlNode* node;
};

/// Reads `listeners[].hosts`.
RouteConfig read_routes(const ConfigSection& listener, std::vector<ClusterReference>& references);

/// The routes of a listener that has none of its own: everything goes to one cluster.
RouteConfig everything_to(const std::string& cluster);

}  // namespace sluice
