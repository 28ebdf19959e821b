// The routes of the proxy, and what each does to a request, as JSON and in words.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "control/proxy/proxy_control.h"

namespace sluice::control {

/// The answer of /v1/routes: listeners, their virtual hosts, and the routes of those in their order.
nlohmann::ordered_json routes_json(const ProxyControl& control);

/// "forward to web 90 %, canary 10 %", "redirect with 301", "respond with 200"
std::string action_words(const Route& route);
/// "set x-a: 1", "remove x-b", one of each edit.
std::vector<std::string> edit_words(std::span<const HeaderEdit> edits);
/// "header x-user, else the source address"; "" if there are none.
std::string key_words(std::span<const KeyPart> parts);
/// Time-outs, retries and limits.
nlohmann::ordered_json policy_json(const RoutePolicy& policy);

}  // namespace sluice::control
