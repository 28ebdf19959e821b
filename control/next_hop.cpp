#include "control/next_hop.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sluice::control {
namespace {

bool is_port(const std::string& interface, const std::vector<std::string>& ports) {
  return std::find(ports.begin(), ports.end(), interface) != ports.end();
}

/// Linux drops routes with their interface, so "no route" alone would hide the cause.
std::string trouble_of_ports(const Links& links, const std::vector<std::string>& ports) {
  std::string trouble;
  for (const std::string& port : ports) {
    const auto found =
        std::find_if(links.begin(), links.end(), [&](const auto& link) { return link.second.name == port; });
    if (found == links.end()) {
      trouble += fmt::format("; interface {} does not exist", port);
    } else if (!found->second.up) {
      trouble += fmt::format("; {} is down", port);
    } else if (!found->second.running) {
      trouble += fmt::format("; {} has no carrier", port);
    }
  }
  return trouble;
}

/// Why the route leads nowhere; empty if it is unicast.
std::string trouble_of_route(const IpAddress& backend, const Route& route, const Links& links,
                             const std::vector<std::string>& ports) {
  const std::string address = backend.to_string();
  switch (route.kind) {
    case RouteKind::kUnicast:
      return {};
    case RouteKind::kLocal:
      return fmt::format("{} is an address of this node; a backend has to be elsewhere", address);
    case RouteKind::kBroadcast:
      return fmt::format("{} is a broadcast or anycast address", address);
    case RouteKind::kMulticast:
      return fmt::format("{} is a multicast address", address);
    case RouteKind::kBlackhole:
      return fmt::format("the route to {} is a blackhole", address);
    case RouteKind::kUnreachable:
      return fmt::format("the route to {} is of type unreachable", address);
    case RouteKind::kProhibited:
      return fmt::format("the route to {} is of type prohibit", address);
    case RouteKind::kNone:
      return fmt::format("no route to {}{}", address, trouble_of_ports(links, ports));
    case RouteKind::kOther:
      break;
  }
  return fmt::format("the kernel does not say where {} is: {}", address,
                     route.error != 0 ? std::strerror(route.error) : "unknown type of route");
}

/// Why nothing can be sent out of the route's interface; empty if it can.
std::string trouble_of_link(const IpAddress& backend, const Link* link,
                            const std::vector<std::string>& ports) {
  if (link == nullptr) {
    return fmt::format("the interface of the route to {} is gone", backend.to_string());
  }
  if (!is_port(link->name, ports)) {
    return fmt::format("the route to {} goes out by {}, which is no port of sluiced; {}", backend.to_string(),
                       link->name,
                       ports.empty() ? "no port has a Linux interface"
                                     : fmt::format("ports are {}", fmt::join(ports, ", ")));
  }
  if (!link->running) {
    return fmt::format("{}, on the way to {}, {}", link->name, backend.to_string(),
                       link->up ? "has no carrier" : "is down");
  }
  if (!link->mac) {
    return fmt::format("{}, on the way to {}, is not an Ethernet interface", link->name, backend.to_string());
  }
  return {};
}

const Link* link_of(const Route& route, const Links& links) {
  const auto link = links.find(route.interface_index);
  return link == links.end() ? nullptr : &link->second;
}

NextHopDecision unresolved(const IpAddress& backend, const Route& route, const Link& link,
                           const Resolution& resolution) {
  const IpAddress& address = route.gateway.value_or(backend);
  const char* protocol = address.is_v4() ? "ARP" : "neighbour discovery";
  const std::string who =
      route.gateway ? fmt::format("{}, the gateway to {},", address.to_string(), backend.to_string())
                    : address.to_string();
  // Linux has one word for "neighbour table full" and for "no memory"; the former is what happens.
  if (resolution.error == ENOBUFS || resolution.error == ENOMEM) {
    return {fail(fmt::format("the kernel's neighbour table is full: no room for {} on {}; raise sysctl "
                             "net.{}.neigh.default.gc_thresh3",
                             address.to_string(), link.name, address.is_v4() ? "ipv4" : "ipv6")),
            false};
  }
  if (resolution.error != 0) {
    return {fail(fmt::format("the kernel refuses to resolve {} on {}: {}", address.to_string(), link.name,
                             std::strerror(resolution.error))),
            false};
  }
  if (resolution.unanswered) {
    return {fail(fmt::format("{} does not answer {} on {}", who, protocol, link.name)), false};
  }
  return {fail(fmt::format("waiting for {} to answer {} on {}", who, protocol, link.name)), true};
}

}  // namespace

std::optional<NeighbourKey> neighbour_to_resolve(const IpAddress& backend, const Route& route,
                                                 const Links& links, const std::vector<std::string>& ports) {
  const Link* link = link_of(route, links);
  if (route.kind != RouteKind::kUnicast || !trouble_of_link(backend, link, ports).empty()) {
    return std::nullopt;
  }
  return NeighbourKey{route.interface_index, route.gateway.value_or(backend)};
}

NextHopDecision decide_next_hop(const IpAddress& backend, const Route& route, const Links& links,
                                const std::vector<std::string>& ports, const Neighbour* neighbour,
                                const Resolution& resolution) {
  if (std::string trouble = trouble_of_route(backend, route, links, ports); !trouble.empty()) {
    return {fail(std::move(trouble)), false};
  }
  const Link* link = link_of(route, links);
  if (std::string trouble = trouble_of_link(backend, link, ports); !trouble.empty()) {
    return {fail(std::move(trouble)), false};
  }
  if (neighbour == nullptr || !neighbour->is_usable()) {
    return unresolved(backend, route, *link, resolution);
  }
  return {NextHop{.interface = link->name,
                  .source = *link->mac,
                  .destination = *neighbour->mac,
                  .mtu = route.mtu != 0 ? std::min(route.mtu, link->mtu) : link->mtu},
          false};
}

}  // namespace sluice::control
