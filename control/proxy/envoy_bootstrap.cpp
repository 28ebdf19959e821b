#include "control/proxy/envoy_bootstrap.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "control/config_text.h"
#include "control/proxy/envoy_clusters.h"
#include "control/proxy/envoy_listeners.h"
#include "lb/l7/route_table.h"

namespace sluice {
namespace {

void read_admin(const EnvoyMessage& admin, ProxyConfig& config) {
  const EnvoyMessage message = admin.message("address", "Address");
  const EnvoyAddress address = read_envoy_address(message);
  if (address.node == nullptr) return;
  if (const auto parsed = IpAddress::parse(address.host)) {
    config.metrics = ListenAddress{*parsed, address.port};
    message.warn(*message.node(), {}, "only GET /metrics is answered there");
  } else {
    message.refuse(*address.node, "socket_address.address", "accepted: an IPv4 or IPv6 address");
  }
}

void read_node(const EnvoyMessage& node, ProxyConfig& config) {
  std::string id;
  const YamlNode* found = node.text("id", id);
  if (found == nullptr) return;
  if (const auto name = parse_name(id)) {
    config.name = *name;
  } else {
    node.warn(*found, "id", "not used: no name for a proxy; the host's name is taken");
  }
}

void check_references(const EnvoyDraft& draft) {
  std::vector<std::string_view> clusters;
  for (const auto& cluster : draft.config.settings.clusters) clusters.push_back(cluster.name);
  for (const EnvoyClusterReference& reference : draft.references) {
    const std::string& wanted = reference.node->text;
    if (std::ranges::find(clusters, wanted) != clusters.end()) continue;
    const auto nearest = nearest_word(wanted, clusters);
    reference.holder.refuse(*reference.node, reference.field,
                            nearest.empty()
                                ? "there is no such cluster"
                                : fmt::format("there is no such cluster, did you mean '{}'?", nearest));
  }
}

void check_names(const std::vector<EnvoyMessage>& messages) {
  std::map<std::string, YamlPlace> seen;
  for (const EnvoyMessage& message : messages) {
    std::string name;
    const YamlNode* node = message.find("name");
    if (node == nullptr || node->kind != YamlNode::Kind::kScalar) continue;
    const auto [first, is_new] = seen.emplace(node->text, node->place);
    if (!is_new)
      message.refuse(*node, "name", fmt::format("the name of another one{}", in_line(first->second)));
  }
}

/// What only the route table itself can tell: regular expressions, domains given twice.
void check_routes(const EnvoyDraft& draft, const std::vector<EnvoyMessage>& listeners) {
  std::vector<std::string> clusters;
  for (const auto& cluster : draft.config.settings.clusters) clusters.push_back(cluster.name);
  for (size_t i = 0; i < listeners.size(); ++i) {
    const auto table = RouteTable::build(draft.config.settings.listeners[i].routes, clusters);
    if (!table) listeners[i].report(*listeners[i].node(), {}, table.error().message);
  }
}

std::vector<std::string> rendered(EnvoyReport& report, std::string_view filename) {
  std::ranges::stable_sort(report.warnings, {}, [](const auto& warning) {
    return std::pair(warning.first.line, warning.first.column);
  });
  std::vector<std::string> lines;
  for (const auto& [place, text] : report.warnings)
    lines.push_back(fmt::format("{}:{}:{}: {}", filename, place.line, place.column, text));
  return lines;
}

Result<EnvoyBootstrap> read_tree(const YamlNode& tree, std::string_view filename) {
  EnvoyDraft draft;
  const EnvoyMessage bootstrap(draft.report, &tree, "", "Bootstrap");
  if (!bootstrap.present())
    draft.report.errors.add({}, "the file holds no map; accepted: at least static_resources");
  read_node(bootstrap.message("node", "Node"), draft.config);
  read_admin(bootstrap.message("admin", "Admin"), draft.config);
  bootstrap.message("cluster_manager", "ClusterManager")
      .message("outlier_detection", "ClusterManagerOutlierDetection")
      .text("event_log_path", draft.outlier_event_log);
  bootstrap.require("static_resources");
  const EnvoyMessage resources = bootstrap.message("static_resources", "StaticResources");
  const auto clusters = resources.messages("clusters", "Cluster");
  const auto listeners = resources.messages("listeners", "Listener");
  for (const EnvoyMessage& cluster : clusters) read_envoy_cluster(cluster, draft);
  for (size_t i = 0; i < listeners.size(); ++i) read_envoy_listener(listeners[i], i, draft);
  if (resources.present() && listeners.empty())
    resources.report(*resources.node(), "listeners", "found none; accepted: at least one");
  check_names(clusters);
  check_names(listeners);
  check_references(draft);
  if (draft.report.errors.empty()) check_routes(draft, listeners);
  if (!draft.report.errors.empty()) return fail(draft.report.errors.render(filename));
  if (draft.config.name.empty()) draft.config.name = host_name();
  auto warnings = rendered(draft.report, filename);
  return EnvoyBootstrap{std::move(draft.config), std::move(warnings), std::move(draft.report.read)};
}

}  // namespace

bool is_envoy_bootstrap(std::string_view text) {
  const auto tree = parse_yaml(text);
  return tree && (tree->find("static_resources") != nullptr || tree->find("staticResources") != nullptr);
}

Result<EnvoyBootstrap> parse_envoy_bootstrap(std::string_view text, std::string_view filename) {
  try {
    const auto tree = parse_config_tree(text, filename);
    return tree ? read_tree(*tree, filename) : tl::unexpected(tree.error());
  } catch (const std::exception& error) {
    return fail(fmt::format("{}: cannot be read: {}", filename, error.what()));
  }
}

}  // namespace sluice
