#include "control/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <exception>
#include <set>

#include "control/config_check.h"
#include "control/config_duration.h"
#include "control/config_health.h"
#include "control/config_reader.h"
#include "control/config_reporting.h"
#include "control/config_text.h"
#include "control/yaml_tree.h"
#include "lb/maglev.h"

namespace sluice {

namespace {

/// An address or a prefix; says why not where the text looks like a prefix.
Result<Prefix> parse_prefix(const std::string& text) {
  auto prefix = Prefix::parse(text);
  if (!prefix && IpAddress::parse(text.substr(0, text.find('/')))) return prefix;
  if (!prefix) return fail("");
  return prefix;
}

Result<Prefix> parse_vip_address(const std::string& text) {
  auto prefix = parse_prefix(text);
  if (!prefix) return prefix;
  if (auto unicast = check_unicast(prefix->address()); !unicast) return fail(unicast.error().message);
  return prefix;
}

Result<MacAddress> parse_unicast_mac(const std::string& text) {
  const auto mac = MacAddress::parse(text);
  if (!mac) return fail("");
  if (mac->bytes()[0] & 1) return fail("a multicast address");
  if (*mac == MacAddress()) return fail("not an address of any device");
  return *mac;
}

void read_node(const ConfigSection& node, Config& config) {
  node.value("name", config.node.name, parse_name);
  node.value("run_dir", config.node.run_dir, parse_run_dir);
  node.value("cluster_seed", config.services.cluster_seed,
             [](const std::string& text) -> Result<std::string> {
               if (text.empty() || text.size() > 1024) return fail("");
               return text;
             });
  node.value("state_dir", config.node.state_dir, [](const std::string& text) -> Result<std::string> {
    if (text.empty() || text.front() != '/' || text.size() > 1024) return fail("");
    return text;
  });
}

Result<std::string> parse_interface(const std::string& text) {
  const bool fits = !text.empty() && text.size() <= 15 && text != "." && text != "..";  // IFNAMSIZ
  if (!fits || text.find_first_of("/: \t,") != std::string::npos) return fail("");
  return text;
}

void read_announce(const ConfigSection& section, Config& config) {
  if (section.node() == nullptr) return;
  config.announce.emplace();
  section.value("device", config.announce->device, parse_interface);
  section.value("drain_device", config.announce->drain_device, parse_interface);
  if (config.announce->drain_device == config.announce->device) {
    section.report(*section.node(), "drain_device",
                   "found the name of announce.device; accepted: another name");
  }
  read_seconds(section, "drain_delay", config.announce->drain_delay);
  read_seconds(section, "stop_delay", config.announce->stop_delay);
}

void read_dpdk(const ConfigSection& dpdk, l4::DpdkSettings& settings) {
  dpdk.flag("huge_pages", settings.huge_pages);
  dpdk.number("memory_mb", settings.memory_mb);
  const auto arguments = dpdk.scalars("eal_args");
  if (!arguments) return;
  for (const YamlNode* argument : *arguments) settings.eal_args.push_back(argument->text);
}

Result<std::string> parse_pci(const std::string& text) {
  constexpr std::string_view kPattern = "hhhh:hh:hh.o";  // hexadecimal and octal digits
  const auto fits = [](char pattern, char c) {
    if (pattern == 'o') return c >= '0' && c <= '7';
    if (pattern == 'h') return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    return pattern == c;
  };
  if (text.size() != kPattern.size()) return fail("");
  if (!std::equal(kPattern.begin(), kPattern.end(), text.begin(), fits)) return fail("");
  return text;
}

Result<std::string> parse_vdev(const std::string& text) {
  if (!text.starts_with("net_") || text.find_first_of(" \t\n") != std::string::npos) return fail("");
  return text;
}

/// Exactly one of the three device fields.
const YamlNode* read_device(const ConfigSection& section, l4::PortSettings& port) {
  struct Kind {
    std::string_view key;
    l4::PortKind kind;
    Result<std::string> (*parse)(const std::string&);
  };
  constexpr std::array<Kind, 3> kKinds{{{"af_xdp", l4::PortKind::kAfXdp, parse_interface},
                                        {"pci", l4::PortKind::kPci, parse_pci},
                                        {"vdev", l4::PortKind::kVdev, parse_vdev}}};
  const YamlNode* device = nullptr;
  const YamlNode* first = nullptr;
  for (const Kind& kind : kKinds) {
    const YamlNode* found = section.find(kind.key);
    if (found == nullptr) continue;
    if (first != nullptr) {
      section.report(*found, kind.key, "found a second device; accepted: exactly one of af_xdp, pci, vdev");
      continue;
    }
    first = found;
    port.kind = kind.kind;
    device = section.value(kind.key, port.device, kind.parse);
  }
  if (first == nullptr && section.node() != nullptr) {
    section.report(*section.node(), {}, "found no device; accepted: exactly one of af_xdp, pci, vdev");
  }
  return device;
}

void read_port(const ConfigSection& section, ConfigDraft& draft) {
  l4::PortSettings& port = draft.config.ports.emplace_back();
  const YamlNode* name = section.value("name", port.name, parse_name);
  const YamlNode* device = read_device(section, port);
  section.number("queues", port.queues);
  const YamlNode* mtu = section.number("mtu", port.mtu);
  section.value("descriptors", port.descriptors, [&](const std::string& text) -> Result<uint16_t> {
    const auto descriptors = section.number_in_range<uint16_t>("descriptors", text);
    if (!descriptors || !std::has_single_bit(*descriptors)) return fail("");
    return descriptors;
  });
  draft.ports.push_back({section, name, device, mtu});
}

void read_cores(const ConfigSection& workers, std::vector<unsigned>& cores) {
  constexpr size_t kMostCores = 127;  // DPDK counts 128 threads, and one is the control thread
  const auto items = workers.scalars("cores");
  if (!items) return;
  std::set<unsigned> seen;
  for (const YamlNode* item : *items) {
    const auto core = workers.number_in_range<unsigned>("cores", item->text);
    if (!core || !seen.insert(*core).second) {
      workers.refuse(*item, "cores", core ? "twice" : "");
    } else {
      cores.push_back(*core);
    }
  }
  const YamlNode* list = workers.find("cores");
  if (list->items.empty() || list->items.size() > kMostCores) {
    workers.refuse(*list, "cores", fmt::format("of {} items", list->items.size()));
  }
}

void read_workers(const ConfigSection& workers, l4::WorkerSettings& settings) {
  read_cores(workers, settings.cores);
  workers.number("count", settings.count);
  if (const YamlNode* count = workers.find("count"); count && workers.find("cores")) {
    workers.report(*count, "count", "found beside cores; accepted: one of cores and count");
  }
  workers.choice("idle", settings.idle,
                 {{"poll", l4::IdleMode::kPoll}, {"adaptive", l4::IdleMode::kAdaptive}});
  workers.number("flow_table_flows", settings.flow_table_flows);
}

std::optional<Prefix> read_tunnel_source(const ConfigSection& tunnel, std::string_view key, Family family,
                                         int shortest) {
  Prefix source;
  const YamlNode* found = tunnel.value(key, source, [&](const std::string& text) -> Result<Prefix> {
    auto prefix = parse_vip_address(text);
    if (prefix && prefix->family() != family) return fail("an address of the other family");
    if (prefix && prefix->length() < shortest) return fail("a prefix that is too short");
    return prefix;
  });
  return found ? std::optional(source) : std::nullopt;
}

void read_tunnel(const ConfigSection& section, Tunnel& tunnel) {
  tunnel.source_ipv4 = read_tunnel_source(section, "source_ipv4", Family::kIpv4, 8);
  tunnel.source_ipv6 = read_tunnel_source(section, "source_ipv6", Family::kIpv6, 64);
  uint32_t gre_key = 0;
  if (section.number("gre_key", gre_key)) tunnel.gre_key = gre_key;
  section.number("ttl", tunnel.ttl);
  section.flag("dont_fragment", tunnel.dont_fragment);
  section.value("dscp", tunnel.dscp, [&](const std::string& text) -> Result<std::optional<uint8_t>> {
    if (text == "copy") return std::nullopt;
    const auto dscp = section.number_in_range<uint8_t>("dscp", text);
    if (!dscp) return fail("");
    return *dscp;
  });
}

Result<PortRange> parse_port_range(const std::string& text) {
  if (text == "any") return PortRange{};
  const auto dash = text.find('-');
  const auto first = parse_decimal<uint16_t>(std::string_view(text).substr(0, dash));
  const auto last =
      dash == std::string::npos ? first : parse_decimal<uint16_t>(std::string_view(text).substr(dash + 1));
  if (!first || !last || *first == 0) return fail("");
  if (*first > *last) return fail("the range is backwards");
  return PortRange{*first, *last};
}

void read_vip(const ConfigSection& section, ConfigDraft& draft) {
  Vip& vip = draft.config.services.vips.emplace_back();
  const YamlNode* name = section.value("name", vip.name, parse_name);
  const YamlNode* address = section.value("address", vip.address, parse_vip_address);
  const YamlNode* protocol =
      section.choice("protocol", vip.protocol, {{"tcp", Protocol::kTcp}, {"udp", Protocol::kUdp}});
  const YamlNode* port = section.value("port", vip.ports, parse_port_range);
  const YamlNode* pool = section.value("pool", vip.pool, parse_name);
  read_seconds(section, "idle_timeout", vip.idle_timeout);
  section.flag("announce", vip.announce);
  draft.vips.push_back({section, name, address, protocol, port, pool});
}

ConfigDraft::BackendPlaces read_backend(const ConfigSection& section, Backend& backend) {
  const YamlNode* address = section.value("address", backend.address, parse_unicast);
  if (address) backend.name = backend.address.to_string();
  const YamlNode* name = section.value("name", backend.name, parse_name);
  section.number("weight", backend.weight);
  section.choice(
      "state", backend.state,
      {{"active", BackendState::kActive}, {"drain", BackendState::kDrain}, {"down", BackendState::kDown}});

  uint16_t health_port = 0;
  if (section.number("health_port", health_port)) backend.health_port = health_port;
  const ConfigSection next_hop = section.section("next_hop");
  StaticNextHop hop;
  const YamlNode* port = next_hop.value("port", hop.port, parse_name);
  next_hop.value("mac", hop.mac, parse_unicast_mac);
  if (next_hop.node() != nullptr) backend.next_hop = hop;
  return {section, name, address, next_hop, port};
}

Result<uint32_t> parse_maglev_size(const std::string& text) {
  const auto size = parse_decimal<uint32_t>(text);
  if (!size) return fail("");
  if (auto prime = check_maglev_size(*size); !prime) return fail(prime.error().message);
  return *size;
}

void read_pool(const ConfigSection& section, ConfigDraft& draft) {
  Pool& pool = draft.config.services.pools.emplace_back();
  ConfigDraft::PoolPlaces places{section, nullptr, nullptr, {}};
  places.name = section.value("name", pool.name, parse_name);
  places.maglev_size = section.value("maglev_size", pool.maglev_size, parse_maglev_size);
  read_pool_policy(section, pool.policy);
  read_health(section.section("health"), pool.health);
  for (const ConfigSection& backend : section.sections("backends")) {
    places.backends.push_back(read_backend(backend, pool.backends.emplace_back()));
  }
  draft.pools.push_back(std::move(places));
}

/// Also nothing at all, which a commented-out list leaves behind.
bool is_empty_list(const YamlNode& node) {
  return node.kind == YamlNode::Kind::kNull || (node.kind == YamlNode::Kind::kList && node.items.empty());
}

ConfigDraft read_config(const ConfigSection& root) {
  ConfigDraft draft{{}, root, {}, {}, {}};
  read_node(root.section("node"), draft.config);
  read_announce(root.section("announce"), draft.config);
  read_metrics(root.section("metrics"), draft.config.metrics);
  read_log(root.section("log"), draft.config.log);
  read_dpdk(root.section("dpdk"), draft.config.dpdk);
  for (const ConfigSection& port : root.sections("ports")) read_port(port, draft);
  if (const YamlNode* ports = root.find("ports"); ports && is_empty_list(*ports))
    root.refuse(*ports, "ports");
  read_workers(root.section("workers"), draft.config.workers);
  const ConfigSection tunnel = root.section("tunnel");
  read_tunnel(tunnel, draft.config.services.tunnel);
  draft.has_tunnel_ipv4 = tunnel.find("source_ipv4") != nullptr;
  draft.has_tunnel_ipv6 = tunnel.find("source_ipv6") != nullptr;
  for (const ConfigSection& pool : root.sections("pools")) read_pool(pool, draft);
  for (const ConfigSection& vip : root.sections("vips")) read_vip(vip, draft);
  return draft;
}

Result<Config> read_tree(const YamlNode& tree, std::string_view filename) {
  ConfigProblems problems;
  if (tree.kind == YamlNode::Kind::kNull) {
    problems.add({}, "the file holds nothing; accepted: at least the maps node and ports");
    return fail(problems.render(filename));
  }
  ConfigDraft draft = read_config(ConfigSection(problems, &tree, "", ""));
  check_config(draft);
  if (!problems.empty()) return fail(problems.render(filename));
  return std::move(draft.config);
}

}  // namespace

Result<Config> parse_config(std::string_view yaml, std::string_view filename) {
  try {
    const auto tree = parse_config_tree(yaml, filename);
    return tree ? read_tree(*tree, filename) : tl::unexpected(tree.error());
  } catch (const std::exception& error) {
    return fail(fmt::format("{}: cannot be read: {}", filename, error.what()));
  }
}

Result<YamlNode> load_config_tree(const std::string& path) {
  const auto text = read_config_file(path);
  if (!text) return tl::unexpected(text.error());
  try {
    return parse_config_tree(*text, path);
  } catch (const std::exception& error) {
    return fail(fmt::format("{}: cannot be read: {}", path, error.what()));
  }
}

Result<Config> load_config(const std::string& path) {
  const auto tree = load_config_tree(path);
  return tree ? config_of(*tree, path) : tl::unexpected(tree.error());
}

Result<Config> config_of(const YamlNode& tree, std::string_view filename) {
  auto config = [&]() -> Result<Config> {
    try {
      return read_tree(tree, filename);
    } catch (const std::exception& error) {
      return fail(fmt::format("{}: cannot be read: {}", filename, error.what()));
    }
  }();
  if (config && config->node.name.empty()) config->node.name = host_name();
  return config;
}

}  // namespace sluice
