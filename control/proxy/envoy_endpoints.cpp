#include "control/proxy/envoy_endpoints.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "control/proxy/proxy_discovery.h"

namespace sluice {
namespace {

using l7::ClusterSettings;
using std::chrono::milliseconds;

/// What the endpoints of one locality share.
struct Locality {
  uint32_t priority = 0;
  std::string zone;
};

void read_resolvers(const EnvoyMessage& parent, std::string_view field, DnsDiscovery& dns) {
  for (const EnvoyMessage& resolver : parent.messages(field, "Address")) {
    const EnvoyAddress address = read_envoy_address(resolver);
    if (address.node == nullptr) continue;
    if (const auto parsed = IpAddress::parse(address.host)) {
      dns.servers.push_back({*parsed, address.port});
    } else {
      resolver.refuse(*address.node, "socket_address.address", "accepted: an IPv4 or IPv6 address");
    }
  }
}

void read_dns_settings(const EnvoyMessage& cluster, DnsDiscovery& dns) {
  dns.families = DnsFamilies::kBoth;
  cluster.choice("dns_lookup_family", dns.families,
                 {{"AUTO", DnsFamilies::kBoth},
                  {"ALL", DnsFamilies::kBoth},
                  {"V4_ONLY", DnsFamilies::kIpv4},
                  {"V6_ONLY", DnsFamilies::kIpv6},
                  {"V4_PREFERRED", DnsFamilies::kBoth}});
  milliseconds refresh{5'000};
  cluster.duration("dns_refresh_rate", refresh);
  bool respect_ttl = false;
  cluster.flag("respect_dns_ttl", respect_ttl);
  dns.refresh.min_refresh = refresh;
  if (!respect_ttl) dns.refresh.max_refresh = refresh;
  dns.refresh.failure_base = dns.refresh.failure_max = refresh;
  read_resolvers(cluster, "dns_resolvers", dns);
  read_resolvers(
      cluster.message("typed_dns_resolver_config", "TypedExtensionConfig")
          .typed("typed_config", "envoy.extensions.network.dns_resolver.cares.v3", "CaresDnsResolverConfig"),
      "resolvers", dns);
  const EnvoyMessage failure = cluster.message("dns_failure_refresh_rate", "RefreshRate");
  if (failure.present() && failure.duration("base_interval", dns.refresh.failure_base) != nullptr) {
    dns.refresh.failure_max = dns.refresh.failure_base * 10;
    failure.duration("max_interval", dns.refresh.failure_max);
  }
}

/// True if the endpoint's own port for checks is given.
bool read_health_config(const EnvoyMessage& endpoint, ClusterCare& care, uint16_t& check_port) {
  const EnvoyMessage health = endpoint.message("health_check_config", "HealthCheckConfig");
  std::string host;
  const YamlNode* name = health.text("hostname", host);
  if (name != nullptr && care.health.kind != HealthCheckKind::kNone && host != care.health.host)
    health.refuse(*name, "hostname", "not supported for each endpoint; accepted: http_health_check.host");
  return health.number("port_value", check_port, 1) != nullptr;
}

void read_endpoint(const EnvoyMessage& item, const Locality& locality, bool names, ClusterSettings& settings,
                   ClusterCare& care, DnsDiscovery& dns) {
  Endpoint made;
  made.priority = locality.priority;
  made.zone = locality.zone;
  item.number("load_balancing_weight", made.weight, 1, kMaxEndpointWeight);
  std::string status = "UNKNOWN";
  item.choice<std::string>("health_status", status,
                           {{"UNKNOWN", ""}, {"HEALTHY", ""}, {"DRAINING", "draining"}});
  made.draining = status == "draining";
  item.require("endpoint");
  const EnvoyMessage endpoint = item.message("endpoint", "Endpoint");
  if (endpoint.present()) endpoint.require("address");
  const EnvoyAddress address = read_envoy_address(endpoint.message("address", "Address"));
  uint16_t check_port = address.port;
  const bool own_port = read_health_config(endpoint, care, check_port);
  if (address.node == nullptr) return;
  made.id.port = address.port;
  const auto parsed = IpAddress::parse(address.host);
  if (!parsed && !names) {
    endpoint.refuse(*address.node, "address.socket_address.address",
                    "accepted: an IPv4 or IPv6 address, or type STRICT_DNS for the cluster");
    return;
  }
  if (!parsed) {
    if (!parse_dns_name(address.host)) {
      endpoint.refuse(*address.node, "address.socket_address.address",
                      "accepted: an IPv4 or IPv6 address, or a name that DNS may know");
      return;
    }
    // What is found has no port of its own for checks, so the names must agree on one.
    const auto port = own_port ? std::optional(check_port) : std::nullopt;
    if (!dns.names.empty() && care.health.port != port) {
      endpoint.report(
          *endpoint.node(), "health_check_config.port_value",
          "found another than that of the cluster's first name; accepted: the same for all names");
    }
    if (dns.names.empty()) care.health.port = port;
    dns.names.push_back({address.host, false, made});
    return;
  }
  made.id.address = *parsed;
  const auto same = [&made](const Endpoint& other) { return other.id == made.id; };
  if (std::ranges::any_of(settings.endpoints, same)) {
    endpoint.report(*endpoint.node(), {},
                    fmt::format("found {} a second time; accepted: each endpoint once", made.id.to_string()));
    return;
  }
  settings.endpoints.push_back(std::move(made));
  care.check_ports.push_back(check_port);
}

}  // namespace

void read_envoy_endpoints(const EnvoyMessage& cluster, ClusterSettings& settings, ClusterCare& care) {
  bool names = false;
  const YamlNode* type = cluster.choice("type", names, {{"STATIC", false}, {"STRICT_DNS", true}});
  DnsDiscovery dns;
  read_dns_settings(cluster, dns);
  const EnvoyMessage assignment = cluster.message("load_assignment", "ClusterLoadAssignment");
  for (const EnvoyMessage& locality : assignment.messages("endpoints", "LocalityLbEndpoints")) {
    Locality of;
    locality.number("priority", of.priority, 0, kMaxEndpointPriority);
    locality.message("locality", "Locality").text("zone", of.zone);
    for (const EnvoyMessage& item : locality.messages("lb_endpoints", "LbEndpoint"))
      read_endpoint(item, of, names, settings, care, dns);
  }
  uint32_t factor = 140;
  assignment.message("policy", "Policy").number("overprovisioning_factor", factor, 100, 1'000'000);
  settings.pick.overprovisioning = factor / 100.0;
  if (!dns.names.empty() && !settings.endpoints.empty()) {
    cluster.report(type == nullptr ? *cluster.node() : *type, "load_assignment",
                   "found names and addresses in one cluster; accepted: one of both");
  } else if (!dns.names.empty()) {
    care.discovery = std::move(dns);
  }
}

}  // namespace sluice
