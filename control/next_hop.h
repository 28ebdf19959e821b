// From what Linux says about route, link and neighbour to the frame header for one backend, or to the reason
// in words why there is none.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/rtnetlink.h"
#include "lb/address.h"
#include "lb/result.h"

namespace sluice::control {

/// How a frame leaves for a backend.
struct NextHop {
  std::string interface;   ///< Linux's name of the port (of its twin, for a PCI port)
  MacAddress source;       ///< the interface's own
  MacAddress destination;  ///< of the gateway, or of the backend itself
  uint32_t mtu = 0;        ///< largest outer IP packet in bytes: the route's or the interface's
  friend bool operator==(const NextHop&, const NextHop&) = default;
};

using Links = std::map<uint32_t, Link>;

/// What came of asking Linux to resolve a neighbour.
struct Resolution {
  bool unanswered = false;  ///< it asked, and had no answer since
  int error = 0;            ///< errno: it would not even ask
};

struct NextHopDecision {
  Result<NextHop> next_hop = fail("not looked up yet");
  bool waiting = true;  ///< the Error is only for the moment: an answer is under way
};

/// The neighbour whose MAC address frames to `backend` carry: its gateway or itself. Nothing if frames could
/// not be sent whatever its MAC: no unicast route, or not out of a running interface among `ports`.
std::optional<NeighbourKey> neighbour_to_resolve(const IpAddress& backend, const Route& route,
                                                 const Links& links, const std::vector<std::string>& ports);

/// `neighbour` is what Linux knows about neighbour_to_resolve(), nullptr if nothing.
NextHopDecision decide_next_hop(const IpAddress& backend, const Route& route, const Links& links,
                                const std::vector<std::string>& ports, const Neighbour* neighbour,
                                const Resolution& resolution);

}  // namespace sluice::control
