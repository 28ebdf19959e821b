// What makes no sense in a route, apart from its match.
#pragma once

#include <string_view>

#include "lb/l7/route_config.h"
#include "lb/result.h"

namespace sluice {

/// The error names the field, what was found and what is accepted. Clusters and the match are not looked at.
Result<void> check_route(const Route& route);

/// A field's name in lower case (RFC 9110 section 5.6.2: a token; HTTP/2 wants it so).
bool is_field_name(std::string_view name);
/// A field's value: no control characters but the tab, no space at its ends (RFC 9110 section 5.5).
bool is_field_value(std::string_view value);

}  // namespace sluice
