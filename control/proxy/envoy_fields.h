// The fields of Envoy's static bootstrap that sluice-proxy knows; docs/envoy-bootstrap.md is tested against
// it. What is not here is refused wherever it stands.
#pragma once

#include <span>
#include <string_view>

namespace sluice {

struct EnvoyField {
  /// What becomes of a field.
  enum class Use {
    kRead,     ///< it has a counterpart
    kLabel,    ///< a name for people, of which nothing depends
    kIgnored,  ///< nothing that a client or an endpoint sees depends on it: a warning says what happens
  };
  std::string_view message;  ///< the protobuf message, without its package: "Cluster"
  std::string_view field;    ///< snake_case
  Use use = Use::kRead;
  std::string_view ours;   ///< the counterpart in sluice-proxy's own file; kIgnored: ""
  std::string_view notes;  ///< one sentence or none; kIgnored: what happens instead
};

/// All of them, in the order of the documentation: those of one message stand together.
std::span<const EnvoyField> envoy_fields();

/// nullptr: not known.
const EnvoyField* find_envoy_field(std::string_view message, std::string_view field);

}  // namespace sluice
