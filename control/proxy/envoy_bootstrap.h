// Envoy's static bootstrap (envoy.config.bootstrap.v3.Bootstrap, as YAML or JSON) as sluice-proxy's
// configuration, as far as the balancing of HTTP and gRPC goes: docs/envoy-bootstrap.md. What it says is
// taken over with Envoy's defaults, not with ours.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "control/proxy/envoy_draft.h"
#include "control/proxy/proxy_config.h"

namespace sluice {

struct EnvoyBootstrap {
  ProxyConfig config;
  /// What stands in the file and is not used, one line each, "file:line:column: field: not used: ...".
  std::vector<std::string> warnings;
  std::set<std::string> fields;  ///< "Cluster.name": all that was looked for, for tests
};

/// Whether a text looks like a bootstrap rather than like sluice-proxy's own file: its top has
/// static_resources.
bool is_envoy_bootstrap(std::string_view text);

/// Parses a file's text. Fields that are not known are errors, in the form of parse_proxy_config()'s.
Result<EnvoyBootstrap> parse_envoy_bootstrap(std::string_view text, std::string_view filename);

}  // namespace sluice
