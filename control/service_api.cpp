#include "control/service_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "control/config_reader.h"
#include "control/yaml_writer.h"

namespace sluice {

namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

ApiResponse json_response(unsigned status, const Json& json, uint64_t generation) {
  ApiResponse response{status, dump(json)};
  response.etag = std::to_string(generation);
  return response;
}

struct Words {
  std::string_view one;
  std::string_view all;
  std::string_view schema;
};

Words words_of(ServiceKind kind) {
  switch (kind) {
    case ServiceKind::kVip:
      return {"vip", "vips", "vips[]"};
    case ServiceKind::kPool:
      return {"pool", "pools", "pools[]"};
    case ServiceKind::kBackend:
      break;
  }
  return {"backend", "backends", "pools[].backends[]"};
}

ServicePath path_of(ServiceKind kind, const ApiRequest& request) {
  const auto parameter = [&](size_t i) { return i < request.parameters.size() ? request.parameters[i] : ""; };
  if (kind == ServiceKind::kBackend) return {kind, parameter(0), parameter(1)};
  return {kind, "", parameter(0)};
}

unsigned status_of(ChangeRefused::Why why) {
  switch (why) {
    case ChangeRefused::Why::kInvalid:
      return 422;
    case ChangeRefused::Why::kNotFound:
      return 404;
    case ChangeRefused::Why::kConflict:
    case ChangeRefused::Why::kNotApplied:
      return 409;
    case ChangeRefused::Why::kStale:
      return 412;
    case ChangeRefused::Why::kNotPersisted:
      break;
  }
  return 507;
}

/// Each line of `message` is one thing that is wrong.
ApiResponse error_response(unsigned status, const std::string& message, uint64_t generation) {
  Json errors = Json::array();
  std::string one_line;
  std::string_view rest = message;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    errors.push_back(line);
    one_line += fmt::format("{}{}", one_line.empty() ? "" : "; ", line);
  }
  return json_response(status, {{"error", one_line}, {"errors", errors}, {"generation", generation}},
                       generation);
}

Json change_json(const ServiceChange& change) {
  Json json{{"action", action_text(change.action)}, {"kind", change.kind}, {"name", change.name}};
  if (change.kind == "backend") json["pool"] = change.pool;
  if (change.backends > 0) json["backends"] = change.backends;
  json["fields"] = Json::array();
  for (const FieldChange& field : change.fields) {
    json["fields"].push_back({{"field", field.field}, {"from", field.from}, {"to", field.to}});
  }
  json["text"] = change.text();
  return json;
}

ApiResponse change_response(unsigned status, const Changed& changed, bool dry_run, uint64_t generation) {
  if (!changed) return error_response(status_of(changed.error().why), changed.error().message, generation);
  Json json{{"generation", changed->generation}, {"dry_run", dry_run}, {"changes", Json::array()}};
  for (const ServiceChange& change : changed->changes) json["changes"].push_back(change_json(change));
  return json_response(dry_run ? 200 : status, json, changed->generation);
}

/// A generation, quoted or not, or "*" for any; RFC 9110, section 13.1.1.
Result<std::optional<uint64_t>> expected_generation(std::string_view if_match) {
  if (if_match.empty() || if_match == "*") return std::nullopt;
  std::string_view text = if_match;
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  if (const auto generation = parse_decimal<uint64_t>(text)) return generation;
  return fail("If-Match: accepted: the generation of an earlier answer, or *");
}

bool is_dry_run(const ApiRequest& request) {
  const auto value = request.query_value("dry_run");
  return value && *value != "0" && *value != "false";
}

/// Changes the store by what `edit` makes of the request's body.
ApiResponse change(ServiceStore& store, const ApiRequest& request, unsigned status, bool has_body,
                   const std::function<Edited(YamlNode document, YamlNode body)>& edit) {
  const auto expected = expected_generation(request.if_match);
  if (!expected) return error_response(400, expected.error().message, store.generation());
  YamlNode body;
  if (has_body) {
    auto parsed = parse_yaml(request.body);
    if (!parsed) {
      return error_response(
          400,
          fmt::format("body: line {}, column {}: {}; accepted: JSON or YAML", parsed.error().place.line,
                      parsed.error().place.column, parsed.error().message),
          store.generation());
    }
    body = *std::move(parsed);
  }
  const bool dry_run = is_dry_run(request);
  const auto changed =
      store.change([&](YamlNode document) { return edit(std::move(document), std::move(body)); },
                   {*expected, dry_run, request.peer.empty() ? "api" : "api, " + request.peer});
  return change_response(status, changed, dry_run, store.generation());
}

}  // namespace

ApiResponse answer_list(ServiceStore& store, ServiceKind kind, const ApiRequest& request) {
  const ServicePath path = path_of(kind, request);
  const Words words = words_of(kind);
  if (request.method == "POST") {
    return change(store, request, 201, true, [&](YamlNode document, YamlNode body) {
      return add_service(std::move(document), path, std::move(body));
    });
  }
  const YamlNode* parent = &store.services();
  if (kind == ServiceKind::kBackend) {
    parent = find_service(store.services(), {ServiceKind::kPool, "", path.pool});
    if (parent == nullptr) {
      return error_response(404, fmt::format("there is no pool '{}'", path.pool), store.generation());
    }
  }
  const YamlNode* list = parent->find(words.all);
  const std::string schema(words.schema.substr(0, words.schema.size() - 2));
  return json_response(200,
                       {{"generation", store.generation()},
                        {words.all, list == nullptr ? Json::array() : to_json(*list, schema)}},
                       store.generation());
}

ApiResponse answer_item(ServiceStore& store, ServiceKind kind, const ApiRequest& request) {
  const ServicePath path = path_of(kind, request);
  const Words words = words_of(kind);
  if (request.method == "PUT") {
    return change(store, request, 200, true, [&](YamlNode document, YamlNode body) {
      return put_service(std::move(document), path, std::move(body));
    });
  }
  if (request.method == "PATCH") {
    return change(store, request, 200, true, [&](YamlNode document, const YamlNode& body) {
      return patch_service(std::move(document), path, body);
    });
  }
  if (request.method == "DELETE") {
    return change(store, request, 200, false, [&](YamlNode document, const YamlNode&) {
      return remove_service(std::move(document), path);
    });
  }
  const YamlNode* item = find_service(store.services(), path);
  if (item == nullptr) {
    return error_response(404, fmt::format("there is no {}", path.text()), store.generation());
  }
  return json_response(200, {{"generation", store.generation()}, {words.one, to_json(*item, words.schema)}},
                       store.generation());
}

ApiResponse answer_config(ServiceStore& store, const ApiRequest& request) {
  if (request.method == "PUT") {
    return change(store, request, 200, true,
                  [](const YamlNode&, const YamlNode& body) { return replace_services(body); });
  }
  const std::string format = request.query_value("format").value_or("json");
  if (format == "yaml") {
    ApiResponse response{
        200, fmt::format("# Services at generation {}\n{}", store.generation(), to_yaml(store.services()))};
    response.content_type = "application/yaml";
    response.etag = std::to_string(store.generation());
    return response;
  }
  if (format != "json") {
    return error_response(400, fmt::format("format: found '{}'; accepted: json, yaml", format),
                          store.generation());
  }
  Json json{{"generation", store.generation()}};
  const Json services = to_json(store.services(), "");
  for (const auto& [key, list] : services.items()) json[key] = list;
  return json_response(200, json, store.generation());
}

void serve_services(ApiServer& api, ServiceStore& store) {
  const auto list = [&](ServiceKind kind, const std::string& path) {
    for (const char* method : {"GET", "POST"}) {
      api.route(method, path,
                [&store, kind](const ApiRequest& request) { return answer_list(store, kind, request); });
    }
  };
  const auto item = [&](ServiceKind kind, const std::string& path) {
    for (const char* method : {"GET", "PUT", "PATCH", "DELETE"}) {
      api.route(method, path,
                [&store, kind](const ApiRequest& request) { return answer_item(store, kind, request); });
    }
  };
  list(ServiceKind::kVip, "/v1/vips");
  item(ServiceKind::kVip, "/v1/vips/{vip}");
  list(ServiceKind::kPool, "/v1/pools");
  item(ServiceKind::kPool, "/v1/pools/{pool}");
  list(ServiceKind::kBackend, "/v1/pools/{pool}/backends");
  item(ServiceKind::kBackend, "/v1/pools/{pool}/backends/{backend}");
  for (const char* method : {"GET", "PUT"}) {
    api.route(method, "/v1/config",
              [&store](const ApiRequest& request) { return answer_config(store, request); });
  }
}

}  // namespace sluice
