#include "control/ctl_services.h"

#include <fmt/format.h>

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "control/api_client.h"
#include "control/config_fields.h"
#include "control/ctl_answer.h"
#include "control/ctl_flows.h"
#include "control/ctl_repeat.h"
#include "control/table.h"

namespace sluice {

namespace {

namespace po = boost::program_options;
using Json = nlohmann::ordered_json;

/// A value of the server's JSON as people write it.
std::string value_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return value.dump();
  std::string text;
  for (const Json& item : value) text += (text.empty() ? "" : ", ") + value_text(item);
  return '[' + text + ']';
}

/// The field's value in `item`, or its default.
std::string field_text(const Json& item, std::string_view schema, const std::string& key) {
  if (item.contains(key)) return value_text(item[key]);
  const ConfigField* field = find_config_field(fmt::format("{}.{}", schema, key));
  return field == nullptr ? "" : std::string(field->default_value());
}

std::string name_text(const Json& item) {
  return item.contains("name")      ? value_text(item["name"])
         : item.contains("address") ? value_text(item["address"])
                                    : "";
}

int get(const CtlContext& context, const po::variables_map& options, const std::string& target,
        const std::function<void(const Json&)>& show) {
  return ctl_show(context, options, "GET", target, "", show);
}

// --- list

int run_vip_list(const CtlContext& context, const po::variables_map& options) {
  return get(context, options, "/v1/vips", [&](const Json& answer) {
    Table table({{"VIP"}, {"ADDRESS"}, {"PROTO"}, {"PORT"}, {"POOL"}, {"ANNOUNCE"}});
    for (const Json& vip : answer.at("vips")) {
      const auto text = [&](const std::string& key) { return field_text(vip, "vips[]", key); };
      table.add(
          {name_text(vip), text("address"), text("protocol"), text("port"), text("pool"), text("announce")});
    }
    ctl_write_table(context, table, "no VIPs; `sluicectl vip add` makes one");
  });
}

int run_pool_list(const CtlContext& context, const po::variables_map& options) {
  return get(
      context, options, options.count("json") > 0 ? "/v1/pools" : "/v1/config", [&](const Json& answer) {
        std::map<std::string, std::string> users;
        for (const Json& vip : answer.at("vips")) {
          std::string& names = users[field_text(vip, "vips[]", "pool")];
          names += (names.empty() ? "" : ", ") + name_text(vip);
        }
        Table table({{"POOL"},
                     {"BACKENDS", Table::Align::kRight},
                     {"MAGLEV_SIZE", Table::Align::kRight},
                     {"HEALTH"},
                     {"MIN_HEALTHY", Table::Align::kRight},
                     {"VIPS"}});
        for (const Json& pool : answer.at("pools")) {
          const size_t backends = pool.contains("backends") ? pool["backends"].size() : 0;
          const std::string health =
              pool.contains("health") ? field_text(pool["health"], "pools[].health", "kind") : "none";
          table.add({name_text(pool), std::to_string(backends), field_text(pool, "pools[]", "maglev_size"),
                     health, field_text(pool, "pools[]", "min_healthy"), users[name_text(pool)]});
        }
        ctl_write_table(context, table, "no pools; `sluicectl pool add` makes one");
      });
}

int run_backend_list(const CtlContext& context, const po::variables_map& options) {
  const bool one_pool = !context.words.empty();
  const std::string target =
      one_pool ? fmt::format("/v1/pools/{}/backends", api_segment(context.words[0])) : "/v1/pools";
  return get(context, options, target, [&](const Json& answer) {
    Table table({{"POOL"}, {"BACKEND"}, {"ADDRESS"}, {"WEIGHT", Table::Align::kRight}, {"STATE"}});
    const auto add = [&](const std::string& pool, const Json& backends) {
      for (const Json& backend : backends) {
        const auto text = [&](const std::string& key) {
          return field_text(backend, "pools[].backends[]", key);
        };
        table.add({pool, name_text(backend), text("address"), text("weight"), state_cell(text("state"))});
      }
    };
    if (one_pool) {
      add(context.words[0], answer.at("backends"));
    } else {
      for (const Json& pool : answer.at("pools")) {
        if (pool.contains("backends")) add(name_text(pool), pool["backends"]);
      }
    }
    ctl_write_table(context, table, "no backends; `sluicectl backend add` makes one");
  });
}

// --- show

/// Fields with dots for maps in maps: "health.interval".
void collect(const Json& map, const std::string& prefix, std::map<std::string, std::string>& fields) {
  for (const auto& [key, value] : map.items()) {
    if (value.is_object()) {
      fields.emplace(prefix + key, "");
      collect(value, prefix + key + '.', fields);
    } else if (key == "backends") {
      fields.emplace(prefix + key, std::to_string(value.size()));
    } else {
      fields.emplace(prefix + key, value_text(value));
    }
  }
}

/// All fields that are set, and those that have a default, in the order of the documentation.
void show_fields(const CtlContext& context, const Json& item, const std::string& schema) {
  std::map<std::string, std::string> set;
  collect(item, "", set);
  Table table({{"FIELD"}, {"VALUE"}, {"SET BY"}});
  const std::string prefix = schema + '.';
  for (const ConfigField& field : config_fields()) {
    if (!field.path.starts_with(prefix)) continue;
    const std::string key(field.path.substr(prefix.size()));
    const bool in_list = key.find("[]") != std::string::npos;
    const auto dot = key.rfind('.');
    const bool parent_is_set = dot == std::string::npos || set.contains(key.substr(0, dot));
    const auto found = set.find(key);
    if (found != set.end() && field.accepted.starts_with("a map")) continue;
    if (found != set.end()) {
      table.add({key, key == "state" ? state_cell(found->second) : found->second, "operator"});
    } else if (!in_list && parent_is_set && !field.default_value().empty()) {
      table.add({key, std::string(field.default_value()), "default"});
    }
  }
  context.output.out << table.render(context.colour);
}

std::string target_of(const CtlContext& context, std::string_view kind) {
  const auto& words = context.words;
  if (kind == "backend")
    return fmt::format("/v1/pools/{}/backends/{}", api_segment(words[0]), api_segment(words[1]));
  return fmt::format("/v1/{}s/{}", kind, api_segment(words[0]));
}

template <const auto& kKind, const auto& kSchema>
int run_show(const CtlContext& context, const po::variables_map& options) {
  return get(context, options, target_of(context, kKind),
             [&](const Json& answer) { show_fields(context, answer.at(std::string(kKind)), kSchema); });
}

// --- changes

/// "[a, b]" is a list, anything else a text; the server's reader knows which field takes what.
Json value_of(const std::string& text) {
  if (text.size() < 2 || text.front() != '[' || text.back() != ']') return text;
  Json list = Json::array();
  std::string_view rest(text);
  rest = rest.substr(1, rest.size() - 2);
  while (!rest.empty()) {
    std::string_view item = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
    while (item.starts_with(' ')) item.remove_prefix(1);
    while (item.ends_with(' ')) item.remove_suffix(1);
    list.push_back(item);
  }
  return list;
}

/// FIELD=VALUE words as an object; "a.b=1" is a field of a map, "a=" takes the field away. nullopt, after an
/// error, if a word is not like that.
std::optional<Json> fields_of(const CtlContext& context, size_t first, Json object) {
  for (size_t i = first; i < context.words.size(); ++i) {
    const std::string& word = context.words[i];
    const auto equals = word.find('=');
    if (equals == std::string::npos || equals == 0) {
      ctl_fail(context, kCtlUsage, fmt::format("found '{}'; accepted: FIELD=VALUE, such as weight=50", word));
      return std::nullopt;
    }
    Json* at = &object;
    std::string_view path = std::string_view(word).substr(0, equals);
    for (auto dot = path.find('.'); dot != path.npos; dot = path.find('.')) {
      at = &(*at)[std::string(path.substr(0, dot))];
      path.remove_prefix(dot + 1);
      if (!at->is_null() && !at->is_object()) {
        ctl_fail(context, kCtlUsage, fmt::format("found '{}' beside a value for the whole field", word));
        return std::nullopt;
      }
    }
    const std::string value = word.substr(equals + 1);
    (*at)[std::string(path)] = value.empty() ? Json(nullptr) : value_of(value);
  }
  return object;
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

template <const auto& kKind>
int run_add(const CtlContext& context, const po::variables_map& options) {
  const bool backend = std::string_view(kKind) == "backend";
  const size_t name = backend ? 1 : 0;
  const auto body = fields_of(context, name + 1, {{"name", context.words[name]}});
  if (!body) return kCtlUsage;
  const std::string target = backend ? fmt::format("/v1/pools/{}/backends", api_segment(context.words[0]))
                                     : fmt::format("/v1/{}s", kKind);
  return ctl_change(context, options, "POST", target, dump(*body));
}

template <const auto& kKind>
int run_set(const CtlContext& context, const po::variables_map& options) {
  const auto body = fields_of(context, std::string_view(kKind) == "backend" ? 2 : 1, Json::object());
  if (!body) return kCtlUsage;
  return ctl_change(context, options, "PATCH", target_of(context, kKind), dump(*body));
}

template <const auto& kKind>
int run_remove(const CtlContext& context, const po::variables_map& options) {
  return ctl_change(context, options, "DELETE", target_of(context, kKind), "");
}

int run_undrain(const CtlContext& context, const po::variables_map& options) {
  return ctl_change(context, options, "PATCH", target_of(context, "backend"), R"({"state":"active"})");
}

constexpr char kVip[] = "vip";
constexpr char kPool[] = "pool";
constexpr char kBackend[] = "backend";
constexpr char kVipSchema[] = "vips[]";
constexpr char kPoolSchema[] = "pools[]";
constexpr char kBackendSchema[] = "pools[].backends[]";

constexpr CtlVerb kVerbs[] = {
    {"vip list", "the VIPs as configured", add_view_options, run_vip_list},
    {"vip show", "all fields of a VIP", add_view_options, run_show<kVip, kVipSchema>, "VIP"},
    {"vip add", "a new VIP", add_change_options, run_add<kVip>, "NAME FIELD=VALUE..."},
    {"vip set", "change fields of a VIP; FIELD= takes one away", add_change_options, run_set<kVip>,
     "VIP FIELD=VALUE..."},
    {"vip remove", "take a VIP away", add_change_options, run_remove<kVip>, "VIP"},
    {"pool list", "the pools as configured, and the VIPs that use them", add_view_options, run_pool_list},
    {"pool show", "all fields of a pool", add_view_options, run_show<kPool, kPoolSchema>, "POOL"},
    {"pool add", "a new pool", add_change_options, run_add<kPool>, "NAME [FIELD=VALUE...]"},
    {"pool set", "change fields of a pool; FIELD= takes one away", add_change_options, run_set<kPool>,
     "POOL FIELD=VALUE..."},
    {"pool remove", "take a pool away that no VIP uses", add_change_options, run_remove<kPool>, "POOL"},
    {"backend list", "the backends of a pool, or of all, as configured", add_view_options, run_backend_list,
     "[POOL]"},
    {"backend show", "all fields of a backend", add_view_options, run_show<kBackend, kBackendSchema>,
     "POOL BACKEND"},
    {"backend add", "a new backend in a pool", add_change_options, run_add<kBackend>,
     "POOL NAME FIELD=VALUE..."},
    {"backend set", "change fields of a backend; FIELD= takes one away", add_change_options,
     run_set<kBackend>, "POOL BACKEND FIELD=VALUE..."},
    {"backend remove", "take a backend away", add_change_options, run_remove<kBackend>, "POOL BACKEND"},
    {"backend drain", "keep its known flows, give it no new ones; --wait until they are gone",
     add_drain_options, ctl_drain, "POOL BACKEND"},
    {"backend undrain", "give it new flows again", add_change_options, run_undrain, "POOL BACKEND"},
};

}  // namespace

void add_change_options(po::options_description& options) {
  options.add_options()("json", "the server's answer as one line of JSON")(
      "dry-run", "say what would change, and change nothing")(
      "generation", po::value<uint64_t>()->value_name("N"),
      "only if nothing has changed since this generation");
}

int ctl_change(const CtlContext& context, const po::variables_map& options, const std::string& method,
               const std::string& target, const std::string& body, const std::string& if_match) {
  const std::string generation =
      options.count("generation") > 0 ? std::to_string(options["generation"].as<uint64_t>()) : if_match;
  const bool dry_run = options.count("dry-run") > 0;
  const auto answer = api_call(context.socket, method, dry_run ? target + "?dry_run=1" : target, body,
                               context.timeout, generation);
  if (!answer) return ctl_fail(context, kCtlUnreachable, answer.error().message);
  if (answer->status == 412) return ctl_fail(context, kCtlStale, api_error_text(*answer));
  if (!answer->is_ok()) return ctl_fail(context, kCtlServerError, api_error_text(*answer));
  if (options.count("json") > 0) {
    context.output.out << answer->body << '\n';
    return kCtlOk;
  }
  try {
    const Json changed = Json::parse(answer->body);
    const auto now = changed.at("generation").get<uint64_t>();
    for (const Json& change : changed.at("changes")) {
      const auto text = change.at("text").get<std::string>();
      context.output.out << (dry_run ? fmt::format("would change: {}\n", text)
                                     : fmt::format("{} (generation {})\n", text, now));
    }
    if (changed.at("changes").empty())
      context.output.out << fmt::format("nothing to change (generation {})\n", now);
  } catch (const Json::exception&) {
    return ctl_fail(context, kCtlServerError, fmt::format("{}: the answer is not what it should be", target));
  }
  return kCtlOk;
}

std::span<const CtlVerb> ctl_service_verbs() {
  return kVerbs;
}

}  // namespace sluice
