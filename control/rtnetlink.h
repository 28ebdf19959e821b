// Linux's answers about links, routes and neighbours as values, and the questions as messages
// (rtnetlink(7)). Bytes in, values out: no socket here; control/netlink.h moves the bytes.
#pragma once

#include <linux/netlink.h>

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "lb/address.h"

namespace sluice::control {

/// A network interface.
struct Link {
  uint32_t index = 0;
  std::string name;
  std::optional<MacAddress> mac;  ///< absent: not an Ethernet interface
  uint32_t mtu = 0;               ///< largest IP packet in bytes
  bool up = false;                ///< set up by the administrator
  bool running = false;           ///< up, and has a carrier
  friend bool operator==(const Link&, const Link&) = default;
};

struct LinkChange {
  Link link;
  bool gone = false;
};

/// What Linux would do with a packet.
enum class RouteKind : uint8_t {
  kUnicast,
  kLocal,  ///< to this node itself
  kBroadcast,
  kMulticast,
  kBlackhole,    ///< dropped silently
  kUnreachable,  ///< dropped with an ICMP error
  kProhibited,   ///< dropped with another ICMP error
  kNone,         ///< no route
  kOther,
};

/// The answer to a look-up of one address.
struct Route {
  RouteKind kind = RouteKind::kNone;
  uint32_t interface_index = 0;        ///< out of which interface
  std::optional<IpAddress> gateway{};  ///< absent: the address is on the link itself. May be IPv6 for IPv4.
  uint32_t mtu = 0;                    ///< of the route or learned on the path, in bytes; 0: the interface's
  int error = 0;                       ///< errno of kOther
  friend bool operator==(const Route&, const Route&) = default;
};

struct NeighbourKey {
  uint32_t interface_index = 0;
  IpAddress address;
  friend bool operator==(const NeighbourKey&, const NeighbourKey&) = default;
  friend auto operator<=>(const NeighbourKey&, const NeighbourKey&) = default;
};

/// Linux's NUD states, as far as they differ for one who sends past the kernel.
enum class NeighbourState : uint8_t {
  kUnresolved,  ///< NONE, INCOMPLETE
  kFresh,       ///< REACHABLE, PERMANENT, NOARP: nothing to do
  kProbing,     ///< DELAY, PROBE: the address is good and the kernel is confirming it
  kStale,       ///< STALE: the address is good; nobody confirms it until somebody uses the entry
  kFailed,      ///< FAILED: no answer
};

struct Neighbour {
  NeighbourState state = NeighbourState::kUnresolved;
  std::optional<MacAddress> mac;

  /// Frames may be sent to `mac`.
  bool is_usable() const {
    return mac && state != NeighbourState::kUnresolved && state != NeighbourState::kFailed;
  }
  friend bool operator==(const Neighbour&, const Neighbour&) = default;
};

struct NeighbourChange {
  NeighbourKey key;
  std::optional<Neighbour> neighbour;  ///< absent: Linux forgot it
};

/// RTM_NEWLINK or RTM_DELLINK. Nothing for other messages, for malformed ones, and for those about a
/// bridge's ports (family AF_BRIDGE), whose RTM_DELLINK means "left the bridge", not "gone".
std::optional<LinkChange> parse_link(const nlmsghdr& message);

/// RTM_NEWNEIGH or RTM_DELNEIGH of an IPv4 or IPv6 neighbour. Nothing for bridge and proxy entries.
std::optional<NeighbourChange> parse_neighbour(const nlmsghdr& message);

/// The RTM_NEWROUTE that answers route_request(). Nothing if malformed. A multipath route never appears:
/// Linux answers a look-up with the one path that it picked.
std::optional<Route> parse_route(const nlmsghdr& message);

/// What an error in answer to route_request() says; `error` is an errno value. Linux reports the types
/// unreachable, prohibit and blackhole as errors.
Route route_of_error(int error);

/// The destination of a route that was added or removed (RTM_NEWROUTE, RTM_DELROUTE): only look-ups of
/// addresses inside it can have changed. Nothing for other messages and malformed ones.
std::optional<Prefix> parse_route_destination(const nlmsghdr& message);

/// A message to the kernel.
class Request {
 public:
  Request(uint16_t type, uint16_t flags);
  nlmsghdr& header() { return *reinterpret_cast<nlmsghdr*>(bytes_.data()); }
  const nlmsghdr& header() const { return *reinterpret_cast<const nlmsghdr*>(bytes_.data()); }

 private:
  alignas(nlmsghdr) std::array<std::byte, 128> bytes_{};
};

/// Where would a packet to `address` go?
Request route_request(const IpAddress& address);

/// "I am using this neighbour": Linux creates the entry if there is none, resolves it if it is not resolved,
/// and confirms it if it is stale (NTF_USE). Never send it for a permanent entry: Linux would take the
/// permanence away. Answered by an acknowledgement, at once; the outcome comes as RTM_NEWNEIGH.
Request neighbour_use_request(const NeighbourKey& key);

/// All links.
Request link_dump_request();

/// All neighbours, both families.
Request neighbour_dump_request();

}  // namespace sluice::control

template <>
struct std::hash<sluice::control::NeighbourKey> {
  size_t operator()(const sluice::control::NeighbourKey& key) const noexcept {
    return std::hash<sluice::IpAddress>{}(key.address) ^ (key.interface_index * size_t{0x9e3779b97f4a7c15});
  }
};
