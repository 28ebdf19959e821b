#include "control/proxy/proxy_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "control/config_duration.h"
#include "control/config_reader.h"
#include "control/config_reporting.h"
#include "control/config_text.h"
#include "control/proxy/proxy_access_log.h"
#include "control/proxy/proxy_clusters.h"
#include "control/proxy/proxy_draft.h"
#include "control/proxy/proxy_fields.h"
#include "control/proxy/proxy_listeners.h"
#include "control/proxy/proxy_tracing.h"
#include "control/yaml_tree.h"
#include "lb/l7/route_table.h"

namespace sluice {
namespace {

using l7::ClusterSettings;

Result<std::string> parse_absolute_path(const std::string& text) {
  return text.starts_with('/') ? Result<std::string>(text) : fail("");
}

void read_cores(const ConfigSection& proxy, l7::ProxySettings& settings) {
  const auto items = proxy.scalars("cores");
  if (!items) return;
  for (const YamlNode* item : *items) {
    const auto core = proxy.number_in_range<uint32_t>("cores", item->text);
    if (!core) {
      proxy.refuse(*item, "cores");
    } else {
      settings.cpus.push_back(static_cast<int>(*core));
    }
  }
  if (const YamlNode* workers = proxy.find("workers")) {
    proxy.report(*workers, "workers", "found beside cores; accepted: one of cores and workers");
  }
  if (items->empty()) proxy.refuse(*proxy.find("cores"), "cores");
  settings.workers = static_cast<uint32_t>(std::max<size_t>(settings.cpus.size(), 1));
}

void read_proxy(const ConfigSection& proxy, ProxyDraft& draft) {
  proxy.value("name", draft.config.name, parse_name);
  proxy.value("run_dir", draft.config.run_dir, parse_run_dir);
  proxy.number("workers", draft.config.settings.workers);
  read_cores(proxy, draft.config.settings);
  proxy.number("memory_limit", draft.config.settings.memory_limit);
  proxy.number("max_clients", draft.config.settings.max_clients);
  proxy.value("zone", draft.zone, parse_name);
  read_milliseconds(proxy, "drain_delay", draft.config.drain_delay);
  read_milliseconds(proxy, "drain_time", draft.config.drain_time);
  read_milliseconds(proxy, "discovery_wait", draft.config.discovery_wait);
  proxy.value("upgrade_socket", draft.config.upgrade_socket, parse_absolute_path);
  proxy.value("user", draft.config.user, parse_name);
  const YamlNode* group = proxy.value("group", draft.config.group, parse_name);
  if (group != nullptr && draft.config.user.empty())
    proxy.report(*group, "group", "found without user; accepted: beside proxy.user");
}

/// Two listeners would share the connections of one address.
void check_addresses(const ProxyDraft& draft) {
  const auto& listeners = draft.config.settings.listeners;
  for (size_t i = 0; i < listeners.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (listeners[i].port == 0 || listeners[i].port != listeners[j].port ||
          listeners[i].address != listeners[j].address)
        continue;
      const ConfigSection& section = draft.listeners[i].section;
      const YamlNode* port = section.find("port");
      if (port != nullptr)
        section.refuse(*port, "port",
                       fmt::format("the address and port of listener '{}'", listeners[j].name));
    }
  }
}

void check_names(const std::vector<ProxyDraft::Named>& items) {
  std::map<std::string, YamlPlace> seen;
  for (const ProxyDraft::Named& item : items) {
    if (item.name == nullptr) continue;
    const auto [first, is_new] = seen.emplace(item.name->text, item.name->place);
    if (!is_new) {
      item.section.refuse(*item.name, "name",
                          fmt::format("the name of another one{}", in_line(first->second)));
    }
  }
}

void check_references(const ProxyDraft& draft) {
  std::vector<std::string_view> clusters;
  for (const ClusterSettings& cluster : draft.config.settings.clusters) clusters.push_back(cluster.name);
  for (const ClusterReference& reference : draft.references) {
    const std::string& wanted = reference.node->text;
    if (std::find(clusters.begin(), clusters.end(), wanted) != clusters.end()) continue;
    const auto nearest = nearest_word(wanted, clusters);
    reference.section.refuse(
        *reference.node, "cluster",
        nearest.empty() ? "no such cluster" : fmt::format("no such cluster, did you mean '{}'?", nearest));
  }
}

void check_not_empty(const ConfigSection& root, std::string_view list) {
  const YamlNode* node = root.find(list);
  if (node == nullptr) return;
  if (node->kind == YamlNode::Kind::kNull || (node->kind == YamlNode::Kind::kList && node->items.empty()))
    root.refuse(*node, list);
}

/// What only the route table itself can tell: regular expressions, domains given twice.
void check_routes(const ProxyDraft& draft) {
  std::vector<std::string> clusters;
  for (const ClusterSettings& cluster : draft.config.settings.clusters) clusters.push_back(cluster.name);
  for (size_t i = 0; i < draft.listeners.size(); ++i) {
    const auto table = RouteTable::build(draft.config.settings.listeners[i].routes, clusters);
    if (!table)
      draft.listeners[i].section.report(*draft.listeners[i].section.node(), {}, table.error().message);
  }
}

Result<ProxyConfig> read_tree(const YamlNode& tree, std::string_view filename) {
  ConfigProblems problems;
  if (tree.kind == YamlNode::Kind::kNull) {
    problems.add({}, "the file holds nothing; accepted: at least the lists listeners and clusters");
    return fail(problems.render(filename));
  }
  ProxyDraft draft{{}, ConfigSection(problems, &tree, "", "", proxy_config_table()), {}, {}, {}, {}};
  read_proxy(draft.root.section("proxy"), draft);
  read_log(draft.root.section("log"), draft.config.log);
  read_metrics(draft.root.section("metrics"), draft.config.metrics);
  draft.root.section("metrics").flag("per_route", draft.config.settings.count_routes);
  draft.access_log = read_access_log(draft.root.section("access_log"));
  read_tracing(draft.root.section("tracing"), draft.config.tracing, draft.config.settings.tracing);
  for (const ConfigSection& cluster : draft.root.sections("clusters")) read_cluster(cluster, draft);
  for (const ConfigSection& listener : draft.root.sections("listeners")) read_listener(listener, draft);
  check_names(draft.listeners);
  check_names(draft.clusters);
  check_addresses(draft);
  check_references(draft);
  check_not_empty(draft.root, "listeners");
  check_not_empty(draft.root, "clusters");
  if (problems.empty()) check_routes(draft);
  if (!problems.empty()) return fail(problems.render(filename));
  if (draft.config.name.empty()) draft.config.name = host_name();
  return std::move(draft.config);
}

}  // namespace

Result<ProxyConfig> parse_proxy_config(std::string_view yaml, std::string_view filename) {
  try {
    const auto tree = parse_config_tree(yaml, filename);
    return tree ? read_tree(*tree, filename) : tl::unexpected(tree.error());
  } catch (const std::exception& error) {
    return fail(fmt::format("{}: cannot be read: {}", filename, error.what()));
  }
}

Result<ProxyConfig> load_proxy_config(const std::string& path) {
  const auto text = read_config_file(path);
  return text ? parse_proxy_config(*text, path) : tl::unexpected(text.error());
}

}  // namespace sluice
