#include "control/announcer.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace sluice::control {

Result<Announcer> Announcer::open(const std::string& device, const std::string& drain_device) {
  auto stay = TunDevice::open(
      {.name = device, .name_taken = "another sluiced on this host has it: set announce.device"});
  if (!stay) return tl::unexpected(stay.error());
  stay->end_first();
  auto leave = TunDevice::open(
      {.name = drain_device, .name_taken = "another sluiced on this host has it: set announce.drain_device"});
  if (!leave) return tl::unexpected(leave.error());
  return Announcer(*std::move(stay), *std::move(leave));
}

Result<void> Announcer::announce(const std::vector<Prefix>& addresses, bool leaving) {
  std::vector<Prefix> wanted = addresses;
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  leaving_ = leaving;
  Side& now = leaving ? leave_ : stay_;
  Side& before = leaving ? stay_ : leave_;
  Result<void> outcome = move(before, now, wanted);
  if (auto there = put(now, wanted); !there) outcome = there;
  if (auto gone = put(before, {}); !gone) outcome = gone;
  return outcome;
}

Result<void> Announcer::move(Side& from, Side& to, const std::vector<Prefix>& wanted) {
  std::vector<Prefix> both;
  std::set_intersection(wanted.begin(), wanted.end(), from.addresses.begin(), from.addresses.end(),
                        std::back_inserter(both));
  Result<void> outcome;
  for (const Prefix& prefix : both) {
    if (auto done = to.device.move_address(from.device, prefix); !done) {
      outcome = done;
      continue;
    }
    from.addresses.erase(std::lower_bound(from.addresses.begin(), from.addresses.end(), prefix));
    to.addresses.insert(std::upper_bound(to.addresses.begin(), to.addresses.end(), prefix), prefix);
  }
  return outcome;
}

Result<void> Announcer::put(Side& side, const std::vector<Prefix>& wanted) {
  std::vector<Prefix> added, removed;
  std::set_difference(wanted.begin(), wanted.end(), side.addresses.begin(), side.addresses.end(),
                      std::back_inserter(added));
  std::set_difference(side.addresses.begin(), side.addresses.end(), wanted.begin(), wanted.end(),
                      std::back_inserter(removed));
  Result<void> outcome;
  for (const Prefix& prefix : added) {
    if (auto done = side.device.add_address(prefix); !done) {
      outcome = done;
    } else {
      side.addresses.insert(std::upper_bound(side.addresses.begin(), side.addresses.end(), prefix), prefix);
    }
  }
  for (const Prefix& prefix : removed) {
    if (auto done = side.device.remove_address(prefix); !done) {
      outcome = done;
    } else {
      side.addresses.erase(std::lower_bound(side.addresses.begin(), side.addresses.end(), prefix));
    }
  }
  return outcome;
}

}  // namespace sluice::control
