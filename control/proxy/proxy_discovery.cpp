#include "control/proxy/proxy_discovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "control/config_duration.h"
#include "control/config_text.h"

namespace sluice {
namespace {

enum class DiscoveryKind : uint8_t { kDns, kFile };

/// "192.0.2.53:53", "[2001:db8::53]:53"
Result<DnsServer> parse_server(const std::string& text) {
  const auto colon = text.rfind(':');
  if (colon == std::string::npos) return fail("");
  std::string_view host = std::string_view(text).substr(0, colon);
  const bool is_bracketed = host.starts_with('[') && host.ends_with(']');
  if (is_bracketed) host = host.substr(1, host.size() - 2);
  const auto address = parse_unicast(std::string(host));
  const auto port = parse_decimal<uint16_t>(std::string_view(text).substr(colon + 1));
  if (!address || address->is_v6() != is_bracketed || !port || *port == 0) return fail("");
  return DnsServer{*address, *port};
}

Result<std::string> parse_path(const std::string& text) {
  if (!text.starts_with('/') || text.ends_with('/') || text.find('\0') != std::string::npos) return fail("");
  return text;
}

void read_name(const ConfigSection& section, DnsDiscovery& dns) {
  DnsName& name = dns.names.emplace_back();
  const YamlNode* plain = section.find("name");
  const YamlNode* service = section.find("srv");
  section.value("name", name.name, parse_dns_name);
  section.value("srv", name.name, parse_dns_name);
  name.is_service = service != nullptr;
  section.number("port", name.like.id.port);
  section.number("weight", name.like.weight);
  section.value("zone", name.like.zone, parse_name);
  section.number("priority", name.like.priority);
  if (section.node() == nullptr || section.node()->kind != YamlNode::Kind::kMap) return;
  if ((plain == nullptr) == (service == nullptr)) {
    section.report(*section.node(), {},
                   fmt::format("found {} name {} srv; accepted: one of name and srv",
                               plain == nullptr ? "neither" : "both", plain == nullptr ? "nor" : "and"));
    return;
  }
  if (plain != nullptr && section.find("port") == nullptr)
    section.report(*section.node(), {}, "found no port; accepted: name with a port, or srv");
  if (service == nullptr) return;
  for (const std::string_view key : {"port", "weight"}) {
    if (const YamlNode* found = section.find(key))
      section.report(*found, key, "found beside srv; accepted: with name only, SRV records have their own");
  }
}

void read_servers(const ConfigSection& section, DnsDiscovery& dns) {
  const auto items = section.scalars("servers");
  if (!items) return;
  for (const YamlNode* item : *items) {
    const auto server = parse_server(item->text);
    if (!server) {
      section.refuse(*item, "servers");
    } else {
      dns.servers.push_back(*server);
    }
  }
  if (items->empty()) section.refuse(*section.find("servers"), "servers");
}

void check_order(const ConfigSection& section, std::string_view least, std::chrono::milliseconds least_value,
                 std::string_view most, std::chrono::milliseconds most_value) {
  if (least_value <= most_value) return;
  const YamlNode* at = section.find(least) != nullptr ? section.find(least) : section.find(most);
  if (at == nullptr) return;
  section.report(*at, least,
                 fmt::format("found {} ms, more than the {} ms of {}; accepted: at most as much",
                             least_value.count(), most_value.count(), most));
}

DnsDiscovery read_dns(const ConfigSection& section) {
  DnsDiscovery dns;
  for (const ConfigSection& name : section.sections("names")) read_name(name, dns);
  if (const YamlNode* names = section.find("names"); names == nullptr) {
    section.report(*section.node(), {}, "found no names; accepted: kind dns with names");
  } else if (dns.names.empty() && names->kind != YamlNode::Kind::kScalar) {
    section.refuse(*names, "names");
  }
  section.choice("family", dns.families,
                 {{"ipv4", DnsFamilies::kIpv4}, {"ipv6", DnsFamilies::kIpv6}, {"both", DnsFamilies::kBoth}});
  read_servers(section, dns);
  read_milliseconds(section, "timeout", dns.timeout);
  RefreshSettings& refresh = dns.refresh;
  read_milliseconds(section, "min_refresh", refresh.min_refresh);
  read_milliseconds(section, "max_refresh", refresh.max_refresh);
  read_milliseconds(section, "failure_base", refresh.failure_base);
  read_milliseconds(section, "failure_max", refresh.failure_max);
  check_order(section, "min_refresh", refresh.min_refresh, "max_refresh", refresh.max_refresh);
  check_order(section, "failure_base", refresh.failure_base, "failure_max", refresh.failure_max);
  section.choice("when_empty", dns.keep_when_empty, {{"keep", true}, {"remove", false}});
  return dns;
}

/// Fields of the other kind would be silently ignored.
void refuse_fields(const ConfigSection& section, std::string_view kind,
                   std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) {
    if (const YamlNode* found = section.find(key))
      section.report(*found, key, fmt::format("found with kind {}, which has no such field", kind));
  }
}

}  // namespace

Result<std::string> parse_dns_name(const std::string& text) {
  constexpr size_t kLongestName = 253;
  constexpr size_t kLongestLabel = 63;
  const std::string_view name = std::string_view(text).substr(0, text.size() - (text.ends_with('.') ? 1 : 0));
  if (name.empty() || name.size() > kLongestName) return fail("");
  size_t label = 0;
  for (const char c : name) {
    const bool is_good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                         c == '-' || c == '_' || c == '.';
    if (!is_good || (c == '.' && label == 0) || (c != '.' && label == kLongestLabel)) return fail("");
    label = c == '.' ? 0 : label + 1;
  }
  return label == 0 ? Result<std::string>(fail("")) : text;
}

void read_discovery(const ConfigSection& cluster, ClusterCare& care) {
  const ConfigSection section = cluster.section("discovery");
  if (section.node() == nullptr) return;
  if (cluster.find("endpoints") != nullptr) {
    cluster.report(*section.node(), "discovery",
                   "found beside endpoints; accepted: one of endpoints and discovery");
  }
  DiscoveryKind kind{};
  if (section.choice("kind", kind, {{"dns", DiscoveryKind::kDns}, {"file", DiscoveryKind::kFile}}) == nullptr)
    return;
  if (kind == DiscoveryKind::kDns) {
    refuse_fields(section, "dns", {"path"});
    care.discovery = read_dns(section);
    return;
  }
  refuse_fields(section, "file",
                {"names", "family", "servers", "timeout", "min_refresh", "max_refresh", "failure_base",
                 "failure_max", "when_empty"});
  FileDiscovery file;
  section.value("path", file.path, parse_path);
  if (section.find("path") == nullptr)
    section.report(*section.node(), {}, "found no path; accepted: kind file with a path");
  care.discovery = std::move(file);
}

}  // namespace sluice
