// What would become of a request: which listener, virtual host and route take it and why not those before,
// what is changed, where it can go and why not elsewhere. Asked of the tables that the workers use; nothing
// is sent and nothing counted.
#pragma once

#include <nlohmann/json.hpp>

#include "control/proxy/explain_request.h"
#include "control/proxy/proxy_control.h"
#include "lb/l7/random.h"

namespace sluice::control {

/// The answer of /v1/explain. The error says which listeners there are, if none fits or several do.
Result<nlohmann::ordered_json> explain(const ProxyControl& control, const ExplainRequest& request,
                                       Random& random);

}  // namespace sluice::control
