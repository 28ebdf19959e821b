#include "control/config_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "lb/forwarding_table.h"
#include "lb/pool_health.h"

namespace sluice {

namespace {

/// Remembers the place of each value; reports one that comes again.
template <typename Value>
class Unique {
 public:
  /// `what` is the second part of "found 'X', which ...".
  void check(const Value& value, const ConfigSection& section, const YamlNode& at, std::string_view key,
             std::string_view what, std::string_view accepted) {
    const auto [first, is_new] = places_.emplace(value, at.place);
    if (is_new) return;
    section.report(
        at, key,
        fmt::format("found {}, {}{}; accepted: {}", found_text(at), what, in_line(first->second), accepted));
  }

 private:
  std::unordered_map<Value, YamlPlace> places_;
};

/// "web, mail", cut to a readable number.
template <typename Items>
std::string known_names(const Items& items) {
  constexpr size_t kShown = 10;
  std::string text;
  for (size_t i = 0; i < std::min(items.size(), kShown); ++i) {
    text += (i > 0 ? ", " : "") + items[i].name;
  }
  if (items.size() > kShown) text += fmt::format(" and {} more", items.size() - kShown);
  return text.empty() ? "none is defined" : text;
}

template <typename Items>
void report_unknown_name(const Items& items, std::string_view what, const ConfigSection& section,
                         const YamlNode& at, std::string_view key) {
  std::vector<std::string_view> names;
  for (const auto& item : items) names.push_back(item.name);
  const auto nearest = nearest_word(at.text, names);
  section.report(at, key,
                 fmt::format("found {}, no such {}{}; accepted: the name of a {} ({})", found_text(at), what,
                             nearest.empty() ? "" : fmt::format(", did you mean '{}'?", nearest), what,
                             known_names(items)));
}

template <typename Items>
std::unordered_set<std::string_view> names_of(const Items& items) {
  std::unordered_set<std::string_view> names;
  for (const auto& item : items) names.insert(item.name);
  return names;
}

void check_ports(const ConfigDraft& draft) {
  Unique<std::string> names;
  Unique<std::string> devices;
  for (size_t i = 0; i < draft.ports.size(); ++i) {
    const auto& places = draft.ports[i];
    const l4::PortSettings& port = draft.config.ports[i];
    if (places.name) {
      names.check(port.name, places.section, *places.name, "name", "the name of another port",
                  "a different name for each port");
    }
    if (places.device) {
      devices.check(port.device, places.section, *places.device, {}, "which another port uses",
                    "each device once");
    }
    if (places.mtu && port.kind == l4::PortKind::kAfXdp && port.mtu > l4::kMaxAfXdpMtu) {
      places.section.refuse(*places.mtu, "mtu");
    }
  }
}

void check_backends_unique(const ConfigDraft& draft) {
  for (size_t p = 0; p < draft.pools.size(); ++p) {
    Unique<std::string> names;
    Unique<IpAddress> addresses;
    for (size_t b = 0; b < draft.pools[p].backends.size(); ++b) {
      const auto& places = draft.pools[p].backends[b];
      const Backend& backend = draft.config.services.pools[p].backends[b];
      if (places.name) {
        names.check(backend.name, places.section, *places.name, "name", "the name of another backend",
                    "a different name for each backend of a pool");
      }
      if (places.address) {
        addresses.check(backend.address, places.section, *places.address, "address",
                        "the address of another backend", "a different address for each backend of a pool");
      }
    }
  }
}

void check_pools(const ConfigDraft& draft) {
  Unique<std::string> names;
  size_t backends = 0;
  for (size_t i = 0; i < draft.pools.size(); ++i) {
    const auto& places = draft.pools[i];
    const Pool& pool = draft.config.services.pools[i];
    if (places.name) {
      names.check(pool.name, places.section, *places.name, "name", "the name of another pool",
                  "a different name for each pool");
    }
    backends += pool.backends.size();
    if (pool.backends.size() > pool.maglev_size) {
      const YamlNode* at = places.maglev_size ? places.maglev_size : places.section.node();
      places.section.report(*at, "maglev_size",
                            fmt::format("found {} slots for {} backends; accepted: a prime not below the "
                                        "number of backends",
                                        pool.maglev_size, pool.backends.size()));
    }
  }
  if (backends > ForwardingIds::kMaxBackends) {
    draft.root.report(*draft.root.find("pools"), "pools",
                      fmt::format("found {} backends in all pools; accepted: at most {}", backends,
                                  ForwardingIds::kMaxBackends));
  }
  check_backends_unique(draft);
}

/// One source per family is enough of an error, however many backends need it.
void check_tunnel_sources(const ConfigDraft& draft) {
  bool need_ipv4 = !draft.has_tunnel_ipv4;
  bool need_ipv6 = !draft.has_tunnel_ipv6;
  for (size_t p = 0; p < draft.pools.size(); ++p) {
    for (size_t b = 0; b < draft.pools[p].backends.size(); ++b) {
      const auto& places = draft.pools[p].backends[b];
      if (!places.address) continue;
      const bool v4 = draft.config.services.pools[p].backends[b].address.is_v4();
      bool& needed = v4 ? need_ipv4 : need_ipv6;
      if (!needed) continue;
      needed = false;
      places.section.report(
          *places.address, "address",
          fmt::format("found {}, but tunnel.source_ipv{} is not set; accepted: an address of a family "
                      "that the tunnel has a source for",
                      found_text(*places.address), v4 ? 4 : 6));
    }
  }
}

void check_next_hops(const ConfigDraft& draft) {
  const auto& ports = draft.config.ports;
  const bool all_af_xdp = std::all_of(ports.begin(), ports.end(), [](const l4::PortSettings& port) {
    return port.kind == l4::PortKind::kAfXdp;
  });
  const auto port_names = names_of(ports);
  for (const auto& pool : draft.pools) {
    for (const auto& backend : pool.backends) {
      if (backend.next_hop_port && !port_names.contains(backend.next_hop_port->text)) {
        report_unknown_name(ports, "port", backend.next_hop, *backend.next_hop_port, "port");
      }
      if (!all_af_xdp && backend.section.node() && !backend.section.find("next_hop")) {
        backend.section.report(*backend.section.node(), "next_hop",
                               "found nothing, but a port is not af_xdp, and the kernel has no routes for "
                               "it; accepted: a map of port and mac");
      }
    }
  }
}

std::string ports_text(const PortRange& ports) {
  if (ports.is_any()) return "any";
  return ports.is_single() ? fmt::format("{}", ports.first) : fmt::format("{}-{}", ports.first, ports.last);
}

/// Ports of the same prefix and protocol in order: an overlap is with the widest reach so far.
void check_vip_overlaps(const ConfigDraft& draft) {
  const auto& vips = draft.config.services.vips;
  std::vector<size_t> order;
  for (size_t i = 0; i < vips.size(); ++i) {
    const auto& places = draft.vips[i];
    if (places.address && places.protocol && places.port) order.push_back(i);
  }
  const auto service = [&](size_t i) { return std::tie(vips[i].address, vips[i].protocol); };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::tuple(service(a), vips[a].ports.first) < std::tuple(service(b), vips[b].ports.first);
  });
  size_t widest = 0;
  for (size_t n = 0; n < order.size(); ++n) {
    const size_t i = order[n];
    if (n == 0 || service(widest) != service(i)) {
      widest = i;
      continue;
    }
    if (vips[i].ports.first <= vips[widest].ports.last) {
      const size_t later = std::max(i, widest);
      const size_t earlier = std::min(i, widest);
      draft.vips[later].section.report(
          *draft.vips[later].port, "port",
          fmt::format("found {}, which overlaps ports {} of {}{} on {} {}; accepted: ports "
                      "of one VIP only",
                      found_text(*draft.vips[later].port), ports_text(vips[earlier].ports),
                      draft.vips[earlier].section.path(), in_line(draft.vips[earlier].port->place),
                      vips[later].address.to_string(),
                      vips[later].protocol == Protocol::kTcp ? "tcp" : "udp"));
    }
    if (vips[i].ports.last > vips[widest].ports.last) widest = i;
  }
}

void check_vips(const ConfigDraft& draft) {
  Unique<std::string> names;
  const auto& services = draft.config.services;
  const auto pool_names = names_of(services.pools);
  for (size_t i = 0; i < draft.vips.size(); ++i) {
    const auto& places = draft.vips[i];
    if (places.name) {
      names.check(services.vips[i].name, places.section, *places.name, "name", "the name of another VIP",
                  "a different name for each VIP");
    }
    if (places.pool && !pool_names.contains(places.pool->text)) {
      report_unknown_name(services.pools, "pool", places.section, *places.pool, "pool");
    }
  }
  if (draft.vips.size() > ForwardingIds::kMaxVips) {
    draft.root.report(
        *draft.root.find("vips"), "vips",
        fmt::format("found {} VIPs; accepted: at most {}", draft.vips.size(), ForwardingIds::kMaxVips));
  }
  check_vip_overlaps(draft);
}

/// Every check but ICMP and a program of the operator's needs a port from somewhere.
void check_health_ports(const ConfigDraft& draft) {
  const Services& services = draft.config.services;
  for (size_t p = 0; p < services.pools.size(); ++p) {
    const Pool& pool = services.pools[p];
    if (pool.health.kind == HealthCheckKind::kNone || pool.health.kind == HealthCheckKind::kIcmp ||
        pool.health.kind == HealthCheckKind::kExternal) {
      continue;
    }
    for (const Backend& backend : pool.backends) {
      if (health_port(services, pool, backend)) continue;
      draft.pools[p].section.report(
          *draft.pools[p].section.find("health"), "health",
          "found no port to check: no VIP with a single port uses the pool; accepted: "
          "with port, or health_port for each backend");
      break;
    }
  }
}

/// Through the tunnel goes what has ports and gets an answer.
void check_health_tunnels(const ConfigDraft& draft) {
  const Services& services = draft.config.services;
  for (size_t p = 0; p < services.pools.size(); ++p) {
    const Pool& pool = services.pools[p];
    if (pool.health.via != HealthCheckVia::kTunnel) continue;
    const ConfigSection& section = draft.pools[p].section;
    const bool has_answer = pool.health.kind != HealthCheckKind::kUdp || !pool.health.udp_expected.empty();
    if (pool.health.kind == HealthCheckKind::kIcmp || pool.health.kind == HealthCheckKind::kExternal) {
      section.report(*section.find("health"), "health.via",
                     "found tunnel, which icmp and external cannot use; accepted: direct, or another kind");
    } else if (!has_answer) {
      section.report(*section.find("health"), "health.via",
                     "found tunnel without udp_expected: where nobody has the VIP there is silence, which "
                     "would be good; accepted: direct, or with udp_expected");
    } else if (!health_vip(services, pool, 0)) {
      section.report(*section.find("health"), "health.via",
                     "found tunnel, but no VIP that is a single address uses the pool; accepted: direct, or "
                     "with such a VIP");
    }
  }
}

}  // namespace

void check_config(const ConfigDraft& draft) {
  check_health_ports(draft);
  check_health_tunnels(draft);
  check_ports(draft);
  check_pools(draft);
  check_tunnel_sources(draft);
  check_next_hops(draft);
  check_vips(draft);
}

}  // namespace sluice
