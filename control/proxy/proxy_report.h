// What sluice-proxy says about itself, as JSON: the answers of /v1/status and /v1/clusters.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "control/proxy/config_in_force.h"
#include "control/proxy/proxy_control.h"

namespace sluice::control {

/// Who answers, and since when.
struct ProxyIdentity {
  std::string version;
  int64_t started = 0;  ///< seconds since 1970
};

nlohmann::ordered_json proxy_status_json(const ProxyIdentity& identity, const ProxyControl& control,
                                         const ConfigInForce& config);

/// The cluster of that place in the settings: its policy, levels, and endpoints with all that is known of
/// them.
nlohmann::ordered_json cluster_json(const ProxyControl& control, size_t cluster);

/// "round_robin", as in the file.
std::string_view pick_policy_name(PickPolicy policy);

}  // namespace sluice::control
