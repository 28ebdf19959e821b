// How a cluster's endpoints are discovered, in sluice-proxy's configuration file.
#pragma once

#include "control/config_reader.h"
#include "control/proxy/proxy_config.h"

namespace sluice {

/// A name that DNS may know: RFC 1035 section 2.3.4, with the underscore of RFC 2782. An error has no words.
Result<std::string> parse_dns_name(const std::string& text);

/// Reads `clusters[].discovery` of the cluster `section`; one that is there excludes `endpoints`.
void read_discovery(const ConfigSection& section, ClusterCare& care);

}  // namespace sluice
