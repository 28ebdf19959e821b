// Listeners of Envoy's bootstrap: one filter chain with the HTTP connection manager.
#pragma once

#include "control/proxy/envoy_draft.h"

namespace sluice {

/// Reads a Listener; `number` names one that has no name.
void read_envoy_listener(const EnvoyMessage& message, size_t number, EnvoyDraft& draft);

/// Reads `stream_error_on_invalid_http_messaging` and what replaces it from Http2ProtocolOptions into
/// `ends_connection`; what is absent leaves it.
void read_envoy_malformed(const EnvoyMessage& http2, bool& ends_connection);

}  // namespace sluice
