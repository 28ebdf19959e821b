// What a route changes of a message's header fields.
#pragma once

#include <span>

#include "dataplane/l7/header_list.h"
#include "lb/l7/route_config.h"

namespace sluice::l7 {

/// Copies `from` to `to`, which is cleared first, with the edits applied in their order. Pseudo-header fields
/// stay in front and are not edited.
void edit_headers(const HeaderList& from, std::span<const HeaderEdit> edits, HeaderList& to);

/// Gives all fields of that token another value. `scratch` is overwritten; nothing happens if there are none.
void replace_value(HeaderList& fields, HeaderToken token, std::string_view value, HeaderList& scratch);

}  // namespace sluice::l7
