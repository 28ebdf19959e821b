#include "lb/l7/zone_share.h"

#include <algorithm>

namespace sluice {
namespace {

// `rest` is divided over all zones but `local` in proportion to `room`.
void give_away(std::vector<double>& shares, std::span<const double> room, double rest) {
  double sum = 0;
  for (const double r : room) sum += r;
  for (size_t i = 0; i < room.size(); ++i) shares[i] += rest * room[i] / sum;
}

}  // namespace

std::vector<double> share_zones(std::span<const ZoneCapacity> zones, size_t local, double overprovisioning) {
  std::vector<double> shares(zones.size());
  double available = 0;
  double proxies = 0;
  for (const ZoneCapacity& zone : zones) {
    available += static_cast<double>(zone.available);
    proxies += zone.proxies;
  }
  if (available <= 0) return shares;

  std::vector<double> room(zones.size());  // of the other zones, for what does not stay at home
  double elsewhere = 0;
  const bool known = proxies > 0 && zones[local].proxies > 0;
  double home = 0;
  if (known) {
    home = (static_cast<double>(zones[local].available) / available) / (zones[local].proxies / proxies);
  } else if (zones[local].total > 0) {
    home = overprovisioning * static_cast<double>(zones[local].available) /
           static_cast<double>(zones[local].total);
  }
  for (size_t i = 0; i < zones.size(); ++i) {
    if (i == local) continue;
    const double part = static_cast<double>(zones[i].available) / available;
    room[i] = known ? std::max(0.0, part - zones[i].proxies / proxies) : part;
    elsewhere += room[i];
  }
  // All the rest is at home, but for rounding: nobody else has room.
  shares[local] = elsewhere > 0 ? std::min(1.0, home) : 1.0;
  if (shares[local] < 1) give_away(shares, room, 1 - shares[local]);
  return shares;
}

}  // namespace sluice
