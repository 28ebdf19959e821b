// Which VIP addresses this node should be announcing, and in words why not the others. Pure.
#pragma once

#include <string>
#include <vector>

#include "lb/pool_health.h"

namespace sluice {

struct Announcement {
  Prefix address;
  bool announced = false;
  std::string reason;             ///< why not; "" if announced
  std::vector<std::string> vips;  ///< names of the VIPs with this address
};

/// One entry per VIP address, sorted. An address is announced while at least one of its VIPs wants it
/// announced and all of those that do have a pool that can serve: a router cannot send port 80 here and port
/// 443 elsewhere. `pools[i]` belongs to services.pools[i]. `draining`: the node announces nothing.
std::vector<Announcement> plan_announcements(const Services& services, const std::vector<PoolHealth>& pools,
                                             bool draining);

}  // namespace sluice
