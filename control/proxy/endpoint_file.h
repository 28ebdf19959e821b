// A list of endpoints: in a file of its own that a cluster follows, or in the configuration file. Both have
// the same fields, so they are read by the same code.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "control/config_reader.h"
#include "control/proxy/cluster_endpoints.h"
#include "lb/result.h"

namespace sluice {

/// Reads a list `endpoints`, in which each stands once. `health_port`: where the cluster's endpoints are
/// checked, if not at their own.
ClusterEndpoints read_endpoints(const ConfigSection& parent, std::optional<uint16_t> health_port);

/// The fields of such a file; docs/discovery.md is tested against it.
const ConfigTable& endpoint_file_table();

/// Parses a file's text: a map with a list `endpoints`, which may be empty. The error has one line per
/// problem, "file:line:column: field: found ...; accepted: ...".
Result<ClusterEndpoints> parse_endpoint_file(std::string_view yaml, std::string_view filename,
                                             std::optional<uint16_t> health_port);

}  // namespace sluice
