// The TLS parts of sluice-proxy's configuration file.
#pragma once

#include "control/config_reader.h"
#include "dataplane/l7/settings.h"

namespace sluice {

/// Reads `listeners[].tls`, which may be absent, after the listener's protocols.
void read_server_tls(const ConfigSection& section, l7::ListenerSettings& listener);

/// Reads `clusters[].tls`, which may be absent, after the cluster's protocol.
void read_client_tls(const ConfigSection& section, l7::ClusterSettings& cluster);

}  // namespace sluice
