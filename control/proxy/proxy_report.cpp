#include "control/proxy/proxy_report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <ctime>

#include "control/proxy/endpoint_report.h"
#include "lb/l7/endpoint_standing.h"

namespace sluice::control {
namespace {

using Json = nlohmann::ordered_json;

Json listener_json(const l7::ListenerSettings& listener) {
  Json protocols = Json::array();
  if (listener.http1_allowed) protocols.push_back("http1");
  if (listener.http2_allowed) protocols.push_back("http2");
  return {{"name", listener.name},
          {"address", EndpointId{listener.address, listener.port}.to_string()},
          {"protocols", protocols},
          {"tls", listener.tls.has_value()},
          {"health_path", listener.health_path}};
}

Json levels_json(const EndpointSet& set) {
  Json levels = Json::array();
  for (const PickLevel& level : set.levels()) {
    levels.push_back({{"priority", level.priority}, {"share", level.share}, {"panic", level.panic}});
  }
  return levels;
}

size_t candidates_of(const std::vector<EndpointStanding>& standings) {
  size_t count = 0;
  for (const EndpointStanding& standing : standings) count += is_candidate(standing.standing) ? 1 : 0;
  return count;
}

}  // namespace

std::string_view pick_policy_name(PickPolicy policy) {
  switch (policy) {
    case PickPolicy::kRoundRobin:
      return "round_robin";
    case PickPolicy::kWeightedRoundRobin:
      return "weighted_round_robin";
    case PickPolicy::kLeastRequest:
      return "least_request";
    case PickPolicy::kPeakEwma:
      return "peak_ewma";
    case PickPolicy::kRandom:
      return "random";
    case PickPolicy::kRingHash:
      return "ring_hash";
    case PickPolicy::kMaglev:
      return "maglev";
  }
  return "?";
}

Json proxy_status_json(const ProxyIdentity& identity, const ProxyControl& control,
                       const ConfigInForce& config) {
  const ProxyConfig& in_force = control.config();
  Json json{{"proxy", in_force.name},
            {"version", identity.version},
            {"pid", getpid()},
            {"started", identity.started},
            {"uptime_s", static_cast<int64_t>(std::time(nullptr)) - identity.started},
            {"draining", control.draining()},
            {"generation", control.generation()},
            {"config",
             {{"file", config.path()},
              {"from_file", config.from_file()},
              {"differs_from_file", config.differs_from_file()},
              {"error", config.error()}}}};
  json["workers"] = Json::array();
  control.proxy().for_each_worker([&](const l7::Worker& worker) {
    uint64_t requests = 0;
    for (const auto& outcome : worker.counters().outcomes) requests += outcome.read();
    json["workers"].push_back({{"worker", json["workers"].size()},
                               {"clients", worker.clients()},
                               {"connections", worker.counters().clients.read()},
                               {"requests", requests}});
  });
  json["listeners"] = Json::array();
  for (const auto& listener : in_force.settings.listeners)
    json["listeners"].push_back(listener_json(listener));
  json["clusters"] = Json::array();
  for (const auto& cluster : in_force.settings.clusters) {
    const EndpointSet& set = *control.proxy().snapshot().clusters.at(cluster.name).endpoints;
    json["clusters"].push_back({{"name", cluster.name},
                                {"endpoints", set.endpoints().size()},
                                {"candidates", candidates_of(endpoint_standings(set))}});
  }
  json["outcomes"] = Json::object();
  for (size_t i = 0; i < l7::kOutcomes; ++i) {
    uint64_t sum = 0;
    control.proxy().for_each_worker(
        [&](const l7::Worker& worker) { sum += worker.counters().outcomes[i].read(); });
    json["outcomes"][std::string(l7::kOutcomeTexts[i].name)] = sum;
  }
  return json;
}

Json cluster_json(const ProxyControl& control, size_t cluster) {
  const l7::ClusterSettings& settings = control.config().settings.clusters[cluster];
  const l7::ProxySnapshot::Cluster& shared = control.proxy().snapshot().clusters.at(settings.name);
  const EndpointSet& set = *shared.endpoints;
  const std::vector<EndpointStanding> standings = endpoint_standings(set);
  Json json{{"name", settings.name},
            {"policy", pick_policy_name(settings.pick.policy)},
            {"protocol", settings.protocol == l7::HttpVersion::kHttp2 ? "http2" : "http1"},
            {"tls", settings.tls.has_value()},
            {"active_requests", shared.breakers->requests.count()},
            {"max_requests", settings.circuit.requests},
            {"active_retries", shared.breakers->retries.count()},
            {"candidates", candidates_of(standings)},
            {"levels", levels_json(set)}};
  const EndpointFacts facts(control, cluster);
  json["endpoints"] = Json::array();
  for (uint32_t i = 0; i < set.endpoints().size(); ++i)
    json["endpoints"].push_back(facts.json(set, i, standings[i]));
  return json;
}

}  // namespace sluice::control
