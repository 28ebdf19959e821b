// What a route of Envoy's bootstrap matches.
#pragma once

#include <vector>

#include "control/proxy/envoy_document.h"
#include "lb/l7/route_config.h"

namespace sluice {

/// Reads a RouteMatch.
RouteMatch read_envoy_match(const EnvoyMessage& message);

/// Reads a list of HeaderMatcher.
std::vector<NamedMatch> read_envoy_header_matches(const EnvoyMessage& parent, std::string_view field);

/// Reads the expression of a RegexMatcher.
std::string read_envoy_regex(const EnvoyMessage& parent, std::string_view field);

}  // namespace sluice
