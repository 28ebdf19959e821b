#include "control/proxy/explain_targets.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "control/proxy/endpoint_report.h"
#include "control/proxy/proxy_report.h"
#include "control/proxy/route_report.h"
#include "dataplane/l7/request_keys.h"
#include "lb/l7/endpoint_standing.h"
#include "lb/l7/picker.h"

namespace sluice::control {
namespace {

using Json = nlohmann::ordered_json;
using l7::Outcome;

}  // namespace

ExplainTargets::ExplainTargets(const ProxyControl& control, const ExplainRequest& request,
                               const MatchedRoute& route, const l7::HeaderList& fields, Random& random)
    : control_(control), route_(route.route()) {
  const auto& clusters = control.config().settings.clusters;
  const auto& forward = std::get<ForwardAction>(route_.action);
  double sum = 0;
  for (const WeightedCluster& cluster : forward.clusters) sum += cluster.weight;
  for (const WeightedCluster& wanted : forward.clusters) {
    const auto at = std::find_if(clusters.begin(), clusters.end(),
                                 [&](const auto& cluster) { return cluster.name == wanted.cluster; });
    Target& target = target_of(static_cast<size_t>(at - clusters.begin()));
    target.share += wanted.weight / sum;
    if (is_hash_policy(at->pick.policy)) {
      target.hash =
          l7::hash_of_keys(route_.policy.hash, fields, request.from, at->pick.hash_key, random, nullptr);
    }
  }
  draw(route, random, request.count);
}

ExplainTargets::Target& ExplainTargets::target_of(size_t cluster) {
  const auto known = std::find_if(targets_.begin(), targets_.end(),
                                  [&](const Target& target) { return target.cluster == cluster; });
  if (known != targets_.end()) return *known;
  return targets_.emplace_back(Target{cluster, 0, 0, {}, {}});
}

const l7::ClusterSettings& ExplainTargets::settings_of(const Target& target) const {
  return control_.config().settings.clusters[target.cluster];
}

const l7::ProxySnapshot::Cluster& ExplainTargets::shared_of(const Target& target) const {
  return control_.proxy().snapshot().clusters.at(settings_of(target).name);
}

void ExplainTargets::draw(const MatchedRoute& route, Random& random, uint32_t count) {
  const PickTime now = std::chrono::steady_clock::now();
  std::map<size_t, Picker> pickers;
  for (const Target& target : targets_) pickers[target.cluster].use(shared_of(target).endpoints, now, random);
  for (uint32_t i = 0; i < count; ++i) {
    Target& target = target_of(route.draw_cluster(random));
    ++target.drawn;
    const auto endpoint = pickers[target.cluster].pick({target.hash, {}}, now, random);
    if (!endpoint) continue;
    ++target.picked[*endpoint];
    if (i == 0) {
      first_picked_ = fmt::format("{} {}", settings_of(target).name,
                                  shared_of(target).endpoints->endpoints()[*endpoint].id.to_string());
    }
  }
}

Json ExplainTargets::target_json(const Target& target) const {
  const l7::ClusterSettings& settings = settings_of(target);
  const EndpointSet& set = *shared_of(target).endpoints;
  Json json{{"cluster", settings.name},
            {"share", target.share},
            {"drawn", target.drawn},
            {"policy", pick_policy_name(settings.pick.policy)},
            {"connect_timeout_ms", settings.connect_timeout.count()},
            {"pending_timeout_ms", settings.pending_timeout.count()},
            {"active_requests", shared_of(target).breakers->requests.count()},
            {"max_requests", settings.circuit.requests}};
  if (is_hash_policy(settings.pick.policy)) {
    json["hash"] = target.hash ? Json(fmt::format("{:016x}", *target.hash)) : Json(nullptr);
    json["hash_by"] = key_words(route_.policy.hash);
  }
  const auto standings = endpoint_standings(set);
  const EndpointFacts facts(control_, target.cluster);
  json["endpoints"] = Json::array();
  for (uint32_t i = 0; i < set.endpoints().size(); ++i) {
    Json endpoint = facts.json(set, i, standings[i]);
    const auto picked = target.picked.find(i);
    endpoint["picked"] = picked == target.picked.end() ? 0 : picked->second;
    json["endpoints"].push_back(std::move(endpoint));
  }
  return json;
}

Json ExplainTargets::json() const {
  Json json = Json::array();
  for (const Target& target : targets_) json.push_back(target_json(target));
  return json;
}

Json ExplainTargets::mirrors() const {
  Json json = Json::array();
  for (const Mirror& mirror : route_.mirrors)
    json.push_back({{"cluster", mirror.cluster}, {"percent", mirror.percent}});
  return json;
}

// Why none of its endpoints can be picked, and what changes that.
std::string ExplainTargets::advice_for(const Target& target) const {
  const std::string& name = settings_of(target).name;
  const auto standings = endpoint_standings(*shared_of(target).endpoints);
  if (standings.empty()) return fmt::format("cluster {} has no endpoints: add some", name);
  std::set<Standing> why;
  for (const EndpointStanding& standing : standings) why.insert(standing.standing);
  std::string advice;
  const auto add = [&](Standing standing, const std::string& words) {
    if (why.contains(standing)) advice += (advice.empty() ? "" : "; ") + words;
  };
  add(Standing::kUnhealthy, fmt::format("cluster {}: mend what the checks of its endpoints say", name));
  add(Standing::kEjected,
      fmt::format("cluster {}: ejected endpoints come back by themselves; see why they fail", name));
  add(Standing::kDraining,
      fmt::format("`sluicectl proxy endpoint undrain {} ENDPOINT` lets a drained one in again", name));
  add(Standing::kUnused, fmt::format("cluster {}: give an endpoint a weight above 0", name));
  return advice;
}

std::pair<Outcome, std::string> ExplainTargets::outcome() const {
  std::string advice;
  bool any = false;
  for (const Target& target : targets_) {
    if (target.share == 0) continue;
    const auto standings = endpoint_standings(*shared_of(target).endpoints);
    const bool can = std::any_of(standings.begin(), standings.end(),
                                 [](const auto& standing) { return is_candidate(standing.standing); });
    any |= can;
    if (can && shared_of(target).breakers->requests.count() >= settings_of(target).circuit.requests) {
      return {Outcome::kCircuitOpen,
              fmt::format("cluster {} has max_requests open: raise it, or add endpoints",
                          settings_of(target).name)};
    }
    if (!can) advice += (advice.empty() ? "" : "; ") + advice_for(target);
  }
  return {any ? Outcome::kAnswered : Outcome::kNoEndpoint, advice};
}

}  // namespace sluice::control
