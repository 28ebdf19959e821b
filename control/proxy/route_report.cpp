#include "control/proxy/route_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "lb/l7/grpc_status.h"
#include "lb/l7/retry_reasons.h"

namespace sluice::control {
namespace {

using Json = nlohmann::ordered_json;

std::string forward_words(const ForwardAction& forward) {
  if (forward.clusters.size() == 1) return "forward to " + forward.clusters[0].cluster;
  double sum = 0;
  for (const WeightedCluster& cluster : forward.clusters) sum += cluster.weight;
  std::vector<std::string> parts;
  for (const WeightedCluster& cluster : forward.clusters)
    parts.push_back(fmt::format("{} {:.4g} %", cluster.cluster, 100 * cluster.weight / sum));
  return fmt::format("forward to {}", fmt::join(parts, ", "));
}

std::string part_words(const KeyPart& part) {
  switch (part.key) {
    case RequestKey::kHeader:
      return "header " + part.name;
    case RequestKey::kCookie:
      return "cookie " + part.name;
    case RequestKey::kSourceAddress:
      return "source address";
    case RequestKey::kPath:
      return "path";
    case RequestKey::kQueryParameter:
      return "query parameter " + part.name;
  }
  return "?";
}

Json retry_json(const RetryPolicy& retry) {
  Json on = Json::array();
  for (const auto& [name, bit] : kRetryReasons) {
    if ((retry.on & bit) != 0) on.push_back(name);
  }
  for (const uint32_t status : retry.statuses) on.push_back(std::to_string(status));
  for (uint32_t status = 0; status < kGrpcStatusCount; ++status) {
    if ((retry.grpc_statuses >> status & 1) != 0)
      on.push_back(grpc_status_name(static_cast<GrpcStatus>(status)));
  }
  return {{"on", on},
          {"max_retries", retry.max_retries},
          {"per_try_timeout_ms", retry.per_try_timeout.count()},
          {"backoff_base_ms", retry.backoff.base.count()},
          {"backoff_max_ms", retry.backoff.max.count()},
          {"any_method", retry.any_method}};
}

Json route_json(const MatchedRoute& matched) {
  const Route& route = matched.route();
  Json json{{"route", route.name}, {"match", matched.conditions()}, {"action", action_words(route)}};
  if (const auto* forward = std::get_if<ForwardAction>(&route.action)) {
    json["clusters"] = Json::array();
    for (const WeightedCluster& cluster : forward->clusters)
      json["clusters"].push_back({{"cluster", cluster.cluster}, {"weight", cluster.weight}});
  }
  json["mirrors"] = Json::array();
  for (const Mirror& mirror : route.mirrors)
    json["mirrors"].push_back({{"cluster", mirror.cluster}, {"percent", mirror.percent}});
  json["request_changes"] = edit_words(route.request_headers);
  json["response_changes"] = edit_words(route.response_headers);
  json["policy"] = policy_json(route.policy);
  return json;
}

Json host_json(const VirtualHost& host) {
  return {{"host", host.name}, {"domains", host.domains}, {"routes", Json::array()}};
}

}  // namespace

std::string action_words(const Route& route) {
  if (const auto* forward = std::get_if<ForwardAction>(&route.action)) return forward_words(*forward);
  if (const auto* redirect = std::get_if<RedirectAction>(&route.action))
    return fmt::format("redirect with {}", redirect->status);
  return fmt::format("respond with {}", std::get<DirectResponse>(route.action).status);
}

std::vector<std::string> edit_words(std::span<const HeaderEdit> edits) {
  std::vector<std::string> words;
  for (const HeaderEdit& edit : edits) {
    switch (edit.kind) {
      case HeaderEditKind::kSet:
        words.push_back(fmt::format("set {}: {}", edit.name, edit.value));
        break;
      case HeaderEditKind::kAdd:
        words.push_back(fmt::format("add {}: {}", edit.name, edit.value));
        break;
      case HeaderEditKind::kAddIfAbsent:
        words.push_back(fmt::format("add if absent {}: {}", edit.name, edit.value));
        break;
      case HeaderEditKind::kRemove:
        words.push_back(fmt::format("remove {}", edit.name));
        break;
    }
  }
  return words;
}

std::string key_words(std::span<const KeyPart> parts) {
  std::string words;
  bool alone = false;  // the part before ends the key if it is there
  for (const KeyPart& part : parts) {
    if (!words.empty()) words += alone ? ", else " : " and ";
    words += part_words(part);
    alone = part.terminal;
  }
  return words;
}

Json policy_json(const RoutePolicy& policy) {
  Json json{{"request_timeout_ms", policy.request_timeout.count()},
            {"idle_timeout_ms", policy.idle_timeout.count()},
            {"body_timeout_ms", policy.body_timeout.count()},
            {"max_request_bytes", policy.max_request_bytes}};
  json["max_grpc_timeout_ms"] =
      policy.max_grpc_timeout ? Json(policy.max_grpc_timeout->count()) : Json(nullptr);
  json["retry"] = policy.retry ? retry_json(*policy.retry) : Json(nullptr);
  if (policy.rate_limit) {
    json["rate_limit"] = {{"per_second", policy.rate_limit->per_second},
                          {"burst", policy.rate_limit->burst},
                          {"by", key_words(policy.rate_limit_key)}};
  } else {
    json["rate_limit"] = nullptr;
  }
  json["hash"] = key_words(policy.hash);
  return json;
}

Json routes_json(const ProxyControl& control) {
  const l7::ProxySnapshot& snapshot = control.proxy().snapshot();
  Json json{{"listeners", Json::array()}};
  for (size_t i = 0; i < snapshot.settings->listeners.size(); ++i) {
    const l7::ListenerSettings& listener = snapshot.settings->listeners[i];
    Json hosts = Json::array();
    std::vector<size_t> counts;
    for (const VirtualHost& host : listener.routes.virtual_hosts) {
      hosts.push_back(host_json(host));
      counts.push_back(host.routes.size());
    }
    // The table has the routes of all hosts one after the other.
    size_t host = 0;
    snapshot.routes[i]->for_each_route([&](const MatchedRoute& route) {
      while (hosts[host]["routes"].size() == counts[host]) ++host;
      hosts[host]["routes"].push_back(route_json(route));
    });
    json["listeners"].push_back({{"listener", listener.name},
                                 {"address", EndpointId{listener.address, listener.port}.to_string()},
                                 {"health_path", listener.health_path},
                                 {"hosts", std::move(hosts)}});
  }
  return json;
}

}  // namespace sluice::control
