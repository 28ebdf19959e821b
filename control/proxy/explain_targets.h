// Where a route can send a request: its clusters with their shares, the hash by which endpoints are chosen,
// and each endpoint with the reason why it can or cannot be picked.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/proxy/explain_request.h"
#include "control/proxy/proxy_control.h"
#include "dataplane/l7/header_list.h"
#include "dataplane/l7/outcome.h"
#include "lb/l7/random.h"

namespace sluice::control {

class ExplainTargets {
 public:
  /// Draws request.count times, as one worker would that has just begun.
  ExplainTargets(const ProxyControl& control, const ExplainRequest& request, const MatchedRoute& route,
                 const l7::HeaderList& fields, Random& random);

  nlohmann::ordered_json json() const;
  nlohmann::ordered_json mirrors() const;
  /// kAnswered, or what the client would be told by the proxy, and what to do about that.
  std::pair<l7::Outcome, std::string> outcome() const;
  /// "app 192.0.2.1:80": what the first draw said; "" if nothing.
  std::string first_picked() const { return first_picked_; }

 private:
  struct Target {
    size_t cluster;  // its place in the settings
    double share;    // of the route's requests
    uint64_t drawn = 0;
    std::optional<uint64_t> hash;
    std::map<uint32_t, uint64_t> picked;  // endpoint → times
  };

  void draw(const MatchedRoute& route, Random& random, uint32_t count);
  Target& target_of(size_t cluster);
  nlohmann::ordered_json target_json(const Target& target) const;
  std::string advice_for(const Target& target) const;
  const l7::ClusterSettings& settings_of(const Target& target) const;
  const l7::ProxySnapshot::Cluster& shared_of(const Target& target) const;

  const ProxyControl& control_;
  const Route& route_;
  std::vector<Target> targets_;
  std::string first_picked_;
};

}  // namespace sluice::control
