// All that is known of the endpoints of one cluster: what the operator, the checks and the outlier detector
// say, and what they carry.
#pragma once

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "control/proxy/proxy_control.h"
#include "lb/l7/endpoint_standing.h"

namespace sluice::control {

/// Of one moment, and no longer: the control must not change meanwhile.
class EndpointFacts {
 public:
  EndpointFacts(const ProxyControl& control, size_t cluster);

  nlohmann::ordered_json json(const EndpointSet& set, uint32_t endpoint,
                              const EndpointStanding& standing) const;
  /// Why it stands so, in one line: "its check fails since 12 s: connection refused".
  std::string reason(const EndpointSet& set, uint32_t endpoint, Standing standing) const;

 private:
  const OutlierView* outlier_of(const EndpointId& id) const;
  std::string why_unhealthy(const EndpointId& id) const;
  std::string why_ejected(const EndpointId& id) const;

  const ProxyControl& control_;
  size_t cluster_;
  std::map<EndpointId, OutlierView> outliers_;
  std::chrono::steady_clock::time_point steady_now_ = std::chrono::steady_clock::now();
  std::chrono::system_clock::time_point now_ = std::chrono::system_clock::now();
};

}  // namespace sluice::control
