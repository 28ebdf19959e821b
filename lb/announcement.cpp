#include "lb/announcement.h"

#include <fmt/format.h>

#include <map>

namespace sluice {

namespace {

/// Why the pool of a VIP cannot serve; "" if it can.
std::string obstacle(const Services& services, const std::vector<PoolHealth>& pools, const Vip& vip) {
  for (size_t i = 0; i < services.pools.size(); ++i) {
    const Pool& pool = services.pools[i];
    if (pool.name != vip.pool) continue;
    if (pools[i].announceable()) return "";
    return fmt::format("pool '{}' of vip '{}' has {} healthy of {} backends, min_healthy is {}", pool.name,
                       vip.name, pools[i].healthy, pools[i].wanted, pool.policy.min_healthy);
  }
  return fmt::format("vip '{}' names no pool", vip.name);
}

}  // namespace

std::vector<Announcement> plan_announcements(const Services& services, const std::vector<PoolHealth>& pools,
                                             NodeDrain drain) {
  struct Plan {
    Announcement announcement;
    bool wanted = false;
  };
  std::map<Prefix, Plan> plans;
  for (const Vip& vip : services.vips) {
    Plan& plan = plans[vip.address];
    plan.announcement.address = vip.address;
    plan.announcement.vips.push_back(vip.name);
    if (!vip.announce) continue;
    plan.wanted = true;
    if (plan.announcement.reason.empty()) plan.announcement.reason = obstacle(services, pools, vip);
  }
  std::vector<Announcement> all;
  for (auto& [address, plan] : plans) {
    if (!plan.wanted) {
      plan.announcement.reason = "announce is false";
    } else if (drain == NodeDrain::kDone) {
      plan.announcement.reason = "the node drains";
    }
    plan.announcement.announced = plan.announcement.reason.empty();
    if (plan.announcement.announced && drain == NodeDrain::kLeaving) {
      plan.announcement.leaving = true;
      plan.announcement.reason = "the node drains";
    }
    all.push_back(std::move(plan.announcement));
  }
  return all;
}

}  // namespace sluice
