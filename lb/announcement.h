// Which VIP addresses this node should be announcing, and in words why not the others. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lb/pool_health.h"

namespace sluice {

/// What the operator wants of the node as a whole.
enum class NodeDrain : uint8_t {
  kNone,
  kLeaving,  ///< still announced, but routers are asked to prefer anybody else
  kDone,     ///< nothing is announced
};

struct Announcement {
  Prefix address;
  bool announced = false;
  bool leaving = false;           ///< announced, but only for whom there is nobody else
  std::string reason;             ///< why not, or why leaving; "" if simply announced
  std::vector<std::string> vips;  ///< names of the VIPs with this address
};

/// One entry per VIP address, sorted. An address is announced while at least one of its VIPs wants it
/// announced and all of those that do have a pool that can serve: a router cannot send port 80 here and port
/// 443 elsewhere. `pools[i]` belongs to services.pools[i].
std::vector<Announcement> plan_announcements(const Services& services, const std::vector<PoolHealth>& pools,
                                             NodeDrain drain);

}  // namespace sluice
