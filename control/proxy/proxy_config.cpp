#include "control/proxy/proxy_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "control/config_duration.h"
#include "control/config_health.h"
#include "control/config_reader.h"
#include "control/config_text.h"
#include "control/proxy/proxy_fields.h"
#include "control/proxy/proxy_routes.h"
#include "control/yaml_tree.h"
#include "lb/l7/route_table.h"

namespace sluice {
namespace {

using l7::ClusterSettings;
using l7::HttpVersion;
using l7::ListenerSettings;

constexpr uint32_t kHttp1Connections = 1024;

/// What is read, and where it stood, for the checks that compare fields.
struct Draft {
  ProxyConfig config;
  ConfigSection root;
  struct Named {
    ConfigSection section;
    const YamlNode* name;
  };
  std::vector<Named> listeners;
  std::vector<Named> clusters;
  std::vector<ClusterReference> references;
  std::string zone;
};

Result<std::string> any_text(const std::string& text) {
  return text;
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

void read_proxy(const ConfigSection& proxy, Draft& draft) {
  proxy.value("name", draft.config.name, parse_name);
  proxy.number("workers", draft.config.settings.workers);
  read_cores(proxy, draft.config.settings);
  proxy.value("zone", draft.zone, parse_name);
  read_milliseconds(proxy, "drain_delay", draft.config.drain_delay);
  read_milliseconds(proxy, "drain_time", draft.config.drain_time);
}

/// "127.0.0.1:9109", "[::1]:9109"
Result<ListenAddress> parse_listen(const std::string& text) {
  const auto colon = text.rfind(':');
  if (colon == std::string::npos) return fail("");
  std::string_view host = std::string_view(text).substr(0, colon);
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto address = IpAddress::parse(host);
  const auto port = parse_decimal<uint16_t>(std::string_view(text).substr(colon + 1));
  if (!address || address->is_v6() != bracketed || !port || *port == 0) return fail("");
  return ListenAddress{*address, *port};
}

void read_metrics(const ConfigSection& section, ProxyConfig& config) {
  if (section.node() == nullptr) return;
  section.value("listen", config.metrics.emplace(), parse_listen);
}

void read_log(const ConfigSection& section, LogSettings& settings) {
  section.choice("to", settings.to, {{"stderr", LogTarget::kStderr}, {"journal", LogTarget::kJournal}});
  section.choice("level", settings.level,
                 {{"debug", LogLevel::kDebug},
                  {"info", LogLevel::kInfo},
                  {"warning", LogLevel::kWarning},
                  {"error", LogLevel::kError}});
}

void read_min_version(const ConfigSection& section, l7::TlsVersion& version) {
  section.choice("min_version", version, {{"1.2", l7::TlsVersion::kTls12}, {"1.3", l7::TlsVersion::kTls13}});
}

void read_server_tls(const ConfigSection& section, ListenerSettings& listener) {
  if (section.node() == nullptr) return;
  l7::TlsServerSettings& tls = listener.tls.emplace();
  for (const ConfigSection& item : section.sections("certificates")) {
    l7::TlsCertificateFiles& files = tls.certificates.emplace_back();
    item.value("certificate", files.certificate, any_text);
    item.value("key", files.key, any_text);
    item.value("ocsp_staple", files.ocsp_staple, any_text);
  }
  section.flag("refuse_unknown_names", tls.refuse_unknown_names);
  read_min_version(section, tls.min_version);
  section.value("ciphers", tls.ciphers, any_text);
  section.value("ciphersuites", tls.ciphersuites, any_text);
  section.choice("client_certificates", tls.client_certificates,
                 {{"off", l7::ClientCertificates::kNotAsked},
                  {"optional", l7::ClientCertificates::kOptional},
                  {"required", l7::ClientCertificates::kRequired}});
  section.value("client_ca", tls.client_ca, any_text);
  section.flag("session_tickets", tls.session_tickets);
  read_milliseconds(section, "handshake_timeout", tls.handshake_timeout);
  tls.protocols.clear();
  if (listener.http2_allowed) tls.protocols.emplace_back("h2");
  if (listener.http1_allowed) tls.protocols.emplace_back("http/1.1");
}

void read_client_tls(const ConfigSection& section, ClusterSettings& cluster) {
  if (section.node() == nullptr) return;
  l7::TlsClientSettings& tls = cluster.tls.emplace();
  section.flag("verify", tls.verify);
  section.value("ca", tls.ca, any_text);
  section.value("server_name", tls.server_name, any_text);
  read_min_version(section, tls.min_version);
  section.value("certificate", tls.certificate, any_text);
  section.value("key", tls.key, any_text);
  tls.protocols = {cluster.protocol == HttpVersion::kHttp2 ? "h2" : "http/1.1"};
}

void read_protocols(const ConfigSection& section, ListenerSettings& listener) {
  const auto items = section.scalars("protocols");
  if (!items) return;
  listener.http1_allowed = listener.http2_allowed = false;
  for (const YamlNode* item : *items) {
    if (item->text == "http1") {
      listener.http1_allowed = true;
    } else if (item->text == "http2") {
      listener.http2_allowed = true;
    } else {
      section.refuse(*item, "protocols");
    }
  }
  if (items->empty()) section.refuse(*section.find("protocols"), "protocols", "empty");
}

void read_where_to(const ConfigSection& section, ListenerSettings& listener, Draft& draft) {
  const YamlNode* hosts = section.find("hosts");
  std::string cluster;
  if (const YamlNode* node = section.value("cluster", cluster, parse_name)) {
    draft.references.push_back({section, node});
    listener.routes = everything_to(cluster);
    if (hosts != nullptr)
      section.report(*hosts, "hosts", "found beside cluster; accepted: one of cluster and hosts");
  } else if (hosts != nullptr) {
    listener.routes = read_routes(section, draft.references);
  } else if (section.node() != nullptr && section.find("cluster") == nullptr) {
    section.report(*section.node(), {},
                   "found neither cluster nor hosts; accepted: one of cluster and hosts");
  }
}

void read_listener(const ConfigSection& section, Draft& draft) {
  ListenerSettings& listener = draft.config.settings.listeners.emplace_back();
  const YamlNode* name = section.value("name", listener.name, parse_name);
  section.value("address", listener.address, parse_address);
  section.number("port", listener.port);
  read_protocols(section, listener);
  section.flag("forwarded_for", listener.forwarded_for);
  section.number("max_concurrent_streams", listener.http2.max_concurrent_streams);
  section.number("max_header_bytes", listener.http2.headers.list_size);
  section.number("max_header_fields", listener.http2.headers.fields);
  section.number("stream_window", listener.http2.stream_window);
  section.flag("websocket", listener.http1.websocket);
  section.value("health_path", listener.health_path, [](const std::string& text) -> Result<std::string> {
    return text.starts_with('/') ? Result<std::string>(text) : fail("");
  });
  read_server_tls(section.section("tls"), listener);
  listener.http2.extended_connect = listener.http1.websocket;
  listener.http1.headers = listener.http2.headers;
  listener.http1.stream_window = listener.http2.stream_window;
  listener.http1.secure = listener.tls.has_value();
  read_where_to(section, listener, draft);
  draft.listeners.push_back({section, name});
}

void read_pick(const ConfigSection& section, PickSettings& pick) {
  section.choice("policy", pick.policy,
                 {{"round_robin", PickPolicy::kRoundRobin},
                  {"weighted_round_robin", PickPolicy::kWeightedRoundRobin},
                  {"least_request", PickPolicy::kLeastRequest},
                  {"peak_ewma", PickPolicy::kPeakEwma},
                  {"random", PickPolicy::kRandom},
                  {"ring_hash", PickPolicy::kRingHash},
                  {"maglev", PickPolicy::kMaglev}});
  section.number("choices", pick.choices);
  section.number("panic_percent", pick.panic_percent);
  read_milliseconds(section, "slow_start", pick.slow_start.window);
}

void read_endpoint(const ConfigSection& section, ClusterSettings& cluster, ClusterCare& care) {
  Endpoint endpoint;
  const bool has_address = section.value("address", endpoint.id.address, parse_unicast) != nullptr;
  const bool has_port = section.number("port", endpoint.id.port) != nullptr;
  section.number("weight", endpoint.weight);
  section.value("zone", endpoint.zone, parse_name);
  section.number("priority", endpoint.priority);
  uint16_t check_port = care.health.port.value_or(endpoint.id.port);
  section.number("health_port", check_port);
  const auto same = [&endpoint](const Endpoint& other) { return other.id == endpoint.id; };
  if (has_address && has_port && std::any_of(cluster.endpoints.begin(), cluster.endpoints.end(), same)) {
    section.report(
        *section.node(), {},
        fmt::format("found {} a second time; accepted: each endpoint once", endpoint.id.to_string()));
    return;
  }
  cluster.endpoints.push_back(std::move(endpoint));
  care.check_ports.push_back(check_port);
}

void read_outlier(const ConfigSection& section, ClusterSettings& cluster, ClusterCare& care) {
  if (section.node() == nullptr) return;
  OutlierSettings& outlier = care.outlier.emplace();
  section.number("server_errors", outlier.streaks.server_errors);
  section.number("gateway_errors", outlier.streaks.gateway_errors);
  section.number("connect_failures", outlier.streaks.connect_failures);
  section.flag("success_rate", outlier.success_rate);
  section.number("failure_percentage", outlier.failure_percentage);
  read_milliseconds(section, "interval", outlier.interval);
  read_milliseconds(section, "base_ejection", outlier.base_ejection);
  read_milliseconds(section, "max_ejection", outlier.max_ejection);
  section.number("max_ejection_percent", outlier.max_ejection_percent);
  cluster.streaks = outlier.streaks;
  if (auto good = check_outlier_settings(outlier); !good)
    section.report(*section.node(), {}, good.error().message);
}

void read_cluster(const ConfigSection& section, Draft& draft) {
  ClusterSettings& cluster = draft.config.settings.clusters.emplace_back();
  ClusterCare& care = draft.config.care.emplace_back();
  const YamlNode* name = section.value("name", cluster.name, parse_name);
  section.choice("protocol", cluster.protocol,
                 {{"http2", HttpVersion::kHttp2}, {"http1", HttpVersion::kHttp1}});
  read_pick(section, cluster.pick);
  cluster.pick.zones.local_zone = draft.zone;
  read_milliseconds(section, "connect_timeout", cluster.connect_timeout);
  read_milliseconds(section, "pending_timeout", cluster.pending_timeout);
  if (cluster.protocol == HttpVersion::kHttp1) cluster.max_connections = kHttp1Connections;
  section.number("max_connections", cluster.max_connections);
  section.number("max_pending", cluster.max_pending);
  section.number("max_requests", cluster.circuit.requests);
  section.number("retry_percent", cluster.retry_budget.percent);
  section.number("retry_min", cluster.retry_budget.min_concurrent);
  section.number("stream_window", cluster.http2.stream_window);
  cluster.http1.stream_window = cluster.http2.stream_window;
  read_client_tls(section.section("tls"), cluster);
  read_health(section.section("health"), care.health);
  cluster.streaks = {0, 0, 0};
  read_outlier(section.section("outlier"), cluster, care);
  for (const ConfigSection& endpoint : section.sections("endpoints")) read_endpoint(endpoint, cluster, care);
  if (auto good = check_pick_settings(cluster.pick); !good && section.node() != nullptr) {
    section.report(*section.node(), {}, good.error().message);
  }
  draft.clusters.push_back({section, name});
}

void check_names(const std::vector<Draft::Named>& items) {
  std::map<std::string, YamlPlace> seen;
  for (const Draft::Named& item : items) {
    if (item.name == nullptr) continue;
    const auto [first, is_new] = seen.emplace(item.name->text, item.name->place);
    if (!is_new) {
      item.section.refuse(*item.name, "name",
                          fmt::format("the name of another one{}", in_line(first->second)));
    }
  }
}

void check_references(const Draft& draft) {
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
void check_routes(const Draft& draft) {
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
  Draft draft{{}, ConfigSection(problems, &tree, "", "", proxy_config_table()), {}, {}, {}, {}};
  read_proxy(draft.root.section("proxy"), draft);
  read_log(draft.root.section("log"), draft.config.log);
  read_metrics(draft.root.section("metrics"), draft.config);
  for (const ConfigSection& cluster : draft.root.sections("clusters")) read_cluster(cluster, draft);
  for (const ConfigSection& listener : draft.root.sections("listeners")) read_listener(listener, draft);
  check_names(draft.listeners);
  check_names(draft.clusters);
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
