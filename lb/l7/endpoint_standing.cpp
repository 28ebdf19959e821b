#include "lb/l7/endpoint_standing.h"

namespace sluice {
namespace {

constexpr double kWhole = 4294967296.0;  // 2^32, as the bounds of levels and zones

Standing when_out(const Endpoint& endpoint) {
  if (endpoint.weight == 0) return Standing::kUnused;
  if (endpoint.draining) return Standing::kDraining;
  if (!endpoint.healthy) return Standing::kUnhealthy;
  return endpoint.ejected ? Standing::kEjected : Standing::kReserve;
}

double weight_in(const EndpointSet& set, uint32_t endpoint) {
  return set.settings().policy == PickPolicy::kRoundRobin ? 1.0 : set.endpoints()[endpoint].weight;
}

// `part` of all requests go to the group.
void share_group(const EndpointSet& set, const PickGroup& group, double part,
                 std::vector<EndpointStanding>& standings) {
  double sum = 0;
  for (const uint32_t member : group.members) sum += weight_in(set, member);
  for (const uint32_t member : group.members) {
    standings[member].standing = set.endpoints()[member].available() ? Standing::kServes : Standing::kPanic;
    standings[member].share = part * weight_in(set, member) / sum;
  }
}

}  // namespace

std::string_view standing_name(Standing standing) {
  switch (standing) {
    case Standing::kServes:
      return "serves";
    case Standing::kPanic:
      return "panic";
    case Standing::kReserve:
      return "reserve";
    case Standing::kUnused:
      return "unused";
    case Standing::kDraining:
      return "drain";
    case Standing::kUnhealthy:
      return "unhealthy";
    case Standing::kEjected:
      return "ejected";
  }
  return "?";
}

std::vector<EndpointStanding> endpoint_standings(const EndpointSet& set) {
  std::vector<EndpointStanding> standings;
  for (const Endpoint& endpoint : set.endpoints()) standings.push_back({when_out(endpoint), 0});
  uint64_t level_from = 0;
  for (const PickLevel& level : set.levels()) {
    const double part = static_cast<double>(level.up_to - level_from) / kWhole;
    uint64_t zone_from = 0;
    for (const GroupShare& zone : level.zones) {
      const double in_level = static_cast<double>(zone.up_to - zone_from) / kWhole;
      if (part * in_level > 0) share_group(set, set.groups()[zone.group], part * in_level, standings);
      zone_from = zone.up_to;
    }
    level_from = level.up_to;
  }
  return standings;
}

}  // namespace sluice
