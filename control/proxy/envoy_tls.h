// TLS in Envoy's bootstrap: transport sockets of listeners and clusters.
#pragma once

#include "control/proxy/envoy_document.h"
#include "dataplane/l7/settings.h"

namespace sluice {

/// Reads `transport_socket` of a filter chain, if it is there.
void read_envoy_server_tls(const EnvoyMessage& chain, l7::ListenerSettings& listener);

/// Reads `transport_socket` of a cluster, if it is there.
void read_envoy_client_tls(const EnvoyMessage& cluster, l7::ClusterSettings& settings);

}  // namespace sluice
