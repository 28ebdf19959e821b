#include "control/proxy/proxy_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string_view>
#include <utility>

#include "control/config_reader.h"
#include "control/log_api.h"
#include "control/metrics/metrics_json.h"
#include "control/proxy/connection_report.h"
#include "control/proxy/proxy_explain.h"
#include "control/proxy/route_report.h"
#include "control/report_api.h"

namespace sluice::control {
namespace {

using Json = nlohmann::ordered_json;

ApiResponse json_response(const Json& json, unsigned status = 200) {
  return {status, json.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

/// Each line of `message` is one thing that is wrong.
ApiResponse refused(unsigned status, std::string_view message) {
  Json errors = Json::array();
  std::string one_line;
  while (!message.empty()) {
    const std::string_view line = message.substr(0, message.find('\n'));
    message.remove_prefix(std::min(message.size(), line.size() + 1));
    errors.push_back(line);
    one_line += fmt::format("{}{}", one_line.empty() ? "" : "; ", line);
  }
  return json_response({{"error", one_line}, {"errors", errors}}, status);
}

std::string asker(const ApiRequest& request) {
  return request.peer.empty() ? "api" : "api, " + request.peer;
}

bool wants(const ApiRequest& request, std::string_view flag) {
  const auto value = request.query_value(flag);
  return value && *value != "0" && *value != "false";
}

/// Its place among the clusters; below 0: there is none.
ptrdiff_t cluster_place(const ProxyControl& control, const std::string& name) {
  const auto& clusters = control.config().settings.clusters;
  const auto at = std::find_if(clusters.begin(), clusters.end(),
                               [&](const auto& cluster) { return cluster.name == name; });
  return at == clusters.end() ? -1 : at - clusters.begin();
}

ApiResponse no_cluster(const ProxyControl& control, const std::string& name) {
  std::string known;
  for (const auto& cluster : control.config().settings.clusters)
    known += (known.empty() ? "" : ", ") + cluster.name;
  return api_error(404, fmt::format("there is no cluster '{}'; known: {}", name, known));
}

// --- what is

ApiResponse answer_clusters(const ProxyControl& control) {
  Json json{{"clusters", Json::array()}};
  for (size_t i = 0; i < control.config().settings.clusters.size(); ++i)
    json["clusters"].push_back(cluster_json(control, i));
  return json_response(json);
}

ApiResponse answer_cluster(const ProxyControl& control, const ApiRequest& request) {
  const ptrdiff_t place = cluster_place(control, request.parameters[0]);
  if (place < 0) return no_cluster(control, request.parameters[0]);
  Json json{{"clusters", Json::array()}};
  json["clusters"].push_back(cluster_json(control, static_cast<size_t>(place)));
  return json_response(json);
}

ApiResponse answer_explain(const ProxyControl& control, const ApiRequest& request, Random& random) {
  const auto wanted = parse_explain_request(request.body);
  if (!wanted) return api_error(422, wanted.error().message);
  const auto explained = explain(control, *wanted, random);
  return explained ? json_response(*explained) : api_error(422, explained.error().message);
}

void serve_reports(ApiServer& api, const ProxyApiParts& parts) {
  const ProxyControl& control = parts.control;
  api.route("GET", "/v1/status", [parts](const ApiRequest&) {
    return json_response(proxy_status_json(parts.identity, parts.control, parts.config));
  });
  api.route("GET", "/v1/clusters", [&control](const ApiRequest&) { return answer_clusters(control); });
  api.route("GET", "/v1/clusters/{cluster}",
            [&control](const ApiRequest& request) { return answer_cluster(control, request); });
  api.route("GET", "/v1/routes",
            [&control](const ApiRequest&) { return json_response(routes_json(control)); });
  api.route("GET", "/v1/stats", [metrics = parts.metrics](const ApiRequest& request) {
    return ApiResponse{200, fmt::format("{{\"metrics\":{}}}",
                                        metrics_json(metrics(), request.query_value("name").value_or("")))};
  });
  api.route_late("GET", "/v1/connections", [parts](const ApiRequest& request, ApiReply reply) {
    const auto query = parse_connection_query(request);
    if (!query) return reply(api_error(400, query.error().message));
    report_connections(parts.io, parts.control.proxy(), *query, std::move(reply));
  });
  const auto random = std::make_shared<Random>(std::random_device{}());
  api.route("POST", "/v1/explain", [&control, random](const ApiRequest& request) {
    return answer_explain(control, request, *random);
  });
}

// --- what is to be

Json generation_json(const ProxyApiParts& parts) {
  return {{"generation", parts.control.generation()}, {"from_file", parts.config.from_file()}};
}

ApiResponse answer_reload(const ProxyApiParts& parts, const ApiRequest& request) {
  if (auto reloaded = parts.config.reload(); !reloaded) {
    parts.events.record("reload", fmt::format("refused, by {}", asker(request)));
    return refused(422, reloaded.error().message);
  }
  parts.events.record("reload",
                      fmt::format("generation {}, by {}", parts.control.generation(), asker(request)));
  return json_response(generation_json(parts));
}

ApiResponse show_config(const ProxyApiParts& parts, const ApiRequest& request) {
  const std::string format = request.query_value("format").value_or("json");
  if (format == "yaml") {
    ApiResponse response{200, parts.config.text()};
    response.content_type = "application/yaml";
    return response;
  }
  if (format != "json")
    return api_error(400, fmt::format("format: found '{}'; accepted: json, yaml", format));
  Json json = generation_json(parts);
  json["file"] = parts.config.path();
  json["differs_from_file"] = parts.config.differs_from_file();
  json["text"] = parts.config.text();
  return json_response(json);
}

ApiResponse put_config(const ProxyApiParts& parts, const ApiRequest& request) {
  if (wants(request, "dry_run")) {
    if (auto good = parts.config.check(request.body); !good) return refused(422, good.error().message);
    return json_response(generation_json(parts));
  }
  // Whoever looks at the file must be able to believe it: what runs beside it is asked for by name.
  if (!wants(request, "volatile")) {
    return refused(409,
                   fmt::format("a document that is put is in force until the next reload or restart only: "
                               "say so (volatile=1), or write it to {} and reload",
                               parts.config.path()));
  }
  if (auto put = parts.config.put(request.body, asker(request)); !put)
    return refused(422, put.error().message);
  parts.events.record("config", fmt::format("put, generation {}, until the next reload or restart, by {}",
                                            parts.control.generation(), asker(request)));
  return json_response(generation_json(parts));
}

ApiResponse answer_drain(const ProxyApiParts& parts, const ApiRequest& request, bool drain) {
  const bool leave = drain && wants(request, "leave");
  const auto& listeners = parts.control.config().settings.listeners;
  const auto told = std::count_if(listeners.begin(), listeners.end(),
                                  [](const auto& listener) { return !listener.health_path.empty(); });
  parts.events.record("proxy", fmt::format("{} by {}",
                                           leave   ? "leave"
                                           : drain ? "drain"
                                                   : "undrain",
                                           asker(request)));
  if (leave) {
    parts.leave();
  } else {
    parts.control.turn_health(drain);
  }
  if (parts.control.draining() != drain)
    return api_error(409, "the proxy is about to end: there is no way back");
  return json_response({{"draining", parts.control.draining()},
                        {"leaving", leave},
                        {"listeners_with_health_path", told},
                        {"clients", parts.control.proxy().clients()}});
}

Result<EndpointId> endpoint_id(const std::string& text) {
  const auto wrong = [&] {
    return fail(fmt::format("endpoint: found '{}'; accepted: ADDRESS:PORT, [ADDRESS]:PORT for IPv6", text));
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return wrong();
  std::string host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const auto address = IpAddress::parse(host);
  const auto port = parse_decimal<uint16_t>(std::string_view(text).substr(colon + 1));
  if (!address || !port) return wrong();
  return EndpointId{*address, *port};
}

ApiResponse drain_endpoint(const ProxyApiParts& parts, const ApiRequest& request, bool drain) {
  const std::string& cluster = request.parameters[0];
  const ptrdiff_t place = cluster_place(parts.control, cluster);
  if (place < 0) return no_cluster(parts.control, cluster);
  const auto id = endpoint_id(request.parameters[1]);
  if (!id) return api_error(400, id.error().message);
  if (!parts.control.drain_endpoint(cluster, *id, drain)) {
    return api_error(
        404, fmt::format("cluster {} has no endpoint {}; `sluicectl proxy clusters {}` lists them", cluster,
                         id->to_string(), cluster));
  }
  parts.events.record("endpoint", fmt::format("{} {} {} by {}", cluster, id->to_string(),
                                              drain ? "drain" : "undrain", asker(request)));
  const Json json = cluster_json(parts.control, static_cast<size_t>(place));
  for (const Json& endpoint : json["endpoints"]) {
    if (endpoint["endpoint"] != id->to_string()) continue;
    return json_response(
        {{"cluster", cluster}, {"endpoint", endpoint}, {"candidates_left", json["candidates"]}});
  }
  return api_error(500, "the endpoint has gone");
}

void serve_changes(ApiServer& api, const ProxyApiParts& parts) {
  api.route("POST", "/v1/reload",
            [parts](const ApiRequest& request) { return answer_reload(parts, request); });
  api.route("GET", "/v1/config", [parts](const ApiRequest& request) { return show_config(parts, request); });
  api.route("PUT", "/v1/config", [parts](const ApiRequest& request) { return put_config(parts, request); });
  for (const bool drain : {true, false}) {
    const std::string word = drain ? "drain" : "undrain";
    api.route("POST", "/v1/" + word,
              [parts, drain](const ApiRequest& request) { return answer_drain(parts, request, drain); });
    api.route("POST", "/v1/clusters/{cluster}/endpoints/{endpoint}/" + word,
              [parts, drain](const ApiRequest& request) { return drain_endpoint(parts, request, drain); });
  }
}

}  // namespace

void serve_proxy(ApiServer& api, const ProxyApiParts& parts) {
  serve_reports(api, parts);
  serve_changes(api, parts);
  serve_log(api, parts.events);
  serve_events(api, parts.events);
}

}  // namespace sluice::control
