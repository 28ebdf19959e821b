#include "lb/l7/endpoint_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "lb/l7/priority_share.h"
#include "lb/l7/zone_share.h"

namespace sluice {
namespace {

constexpr double kWhole = 4294967296.0;  // 2^32

// Shares become bounds of a 32-bit number; what rounding leaves goes to the last that has a share.
std::vector<uint64_t> bounds_of(std::span<const double> shares) {
  std::vector<uint64_t> bounds(shares.size());
  double sum = 0;
  size_t last = shares.size();
  for (size_t i = 0; i < shares.size(); ++i) {
    sum += shares[i];
    bounds[i] = static_cast<uint64_t>(std::min(sum, 1.0) * kWhole);
    if (shares[i] > 0) last = i;
  }
  for (size_t i = last; i < shares.size(); ++i) bounds[i] = static_cast<uint64_t>(kWhole);
  return bounds;
}

// Maglev knows addresses; several endpoints may share one. So its identity is a hash of address and port.
IpAddress maglev_identity(const EndpointId& id) {
  IpAddress::Bytes bytes{};
  std::array<uint8_t, 19> text{};
  std::ranges::copy(id.address.bytes(), text.begin());
  text[16] = static_cast<uint8_t>(id.port >> 8);
  text[17] = static_cast<uint8_t>(id.port);
  text[18] = static_cast<uint8_t>(id.address.family());
  for (uint64_t half = 0; half < 2; ++half) {
    const uint64_t hash = siphash<2, 4>(SipKey{half, 0}, std::span<const uint8_t>(text));
    for (size_t i = 0; i < 8; ++i) bytes[8 * half + i] = static_cast<uint8_t>(hash >> (8 * i));
  }
  return IpAddress::v6(bytes);
}

}  // namespace

Result<EndpointSet::Pointer> EndpointSet::build(PickSettings settings, std::vector<Endpoint> endpoints,
                                                const EndpointSet* previous, PickTime now, uint32_t workers) {
  if (auto accepted = check_pick_settings(settings); !accepted) return tl::unexpected(accepted.error());
  std::shared_ptr<EndpointSet> set(new EndpointSet(std::move(settings)));
  if (auto taken = set->take_in(std::move(endpoints)); !taken) return tl::unexpected(taken.error());
  set->adopt_states(previous, now, workers);
  if (auto built = set->build_levels(previous, now); !built) return tl::unexpected(built.error());
  return Pointer(std::move(set));
}

std::optional<uint32_t> EndpointSet::find(const EndpointId& id) const {
  const auto at = std::ranges::lower_bound(endpoints_, id, {}, &Endpoint::id);
  if (at == endpoints_.end() || at->id != id) return std::nullopt;
  return static_cast<uint32_t>(at - endpoints_.begin());
}

Result<void> EndpointSet::take_in(std::vector<Endpoint> endpoints) {
  if (endpoints.size() > kMaxMaglevEntries) {
    return fail(fmt::format("{} endpoints in one cluster: at most {} are accepted", endpoints.size(),
                            kMaxMaglevEntries));
  }
  for (const Endpoint& e : endpoints) {
    if (e.weight > kMaxEndpointWeight) {
      return fail(fmt::format("endpoint {}: weight {} is not in 0..{}", e.id.to_string(), e.weight,
                              kMaxEndpointWeight));
    }
    if (e.priority > kMaxEndpointPriority) {
      return fail(fmt::format("endpoint {}: priority {} is not in 0..{}", e.id.to_string(), e.priority,
                              kMaxEndpointPriority));
    }
  }
  std::ranges::sort(endpoints, {}, &Endpoint::id);
  const auto twice = std::ranges::adjacent_find(endpoints, {}, &Endpoint::id);
  if (twice != endpoints.end()) {
    return fail(fmt::format("endpoint {} is listed twice in one cluster", twice->id.to_string()));
  }
  endpoints_ = std::move(endpoints);
  return {};
}

void EndpointSet::adopt_states(const EndpointSet* previous, PickTime now, uint32_t workers) {
  std::vector<bool> used(previous != nullptr ? previous->slots_ : 0);
  states_.resize(endpoints_.size());
  std::vector<PickTime> since(endpoints_.size(), previous != nullptr ? now : kAlways);
  for (uint32_t i = 0; i < endpoints_.size(); ++i) {
    const auto before = previous != nullptr ? previous->find(endpoints_[i].id) : std::nullopt;
    if (!before) continue;
    states_[i] = previous->states_[*before];
    used[states_[i]->slot] = true;
    if (previous->endpoints_[*before].available() || !endpoints_[i].available())
      since[i] = previous->hot_[*before].since;
  }
  uint32_t free = 0;
  const auto next_free = [&] {
    while (free < used.size() && used[free]) ++free;
    return free++;
  };
  hot_.reserve(endpoints_.size());
  for (uint32_t i = 0; i < endpoints_.size(); ++i) {
    if (states_[i] == nullptr) states_[i] = std::make_shared<EndpointState>(next_free(), workers);
    slots_ = std::max(slots_, states_[i]->slot + 1);
    hot_.push_back({states_[i].get(), since[i], endpoints_[i].weight});
    if (since[i] != kAlways) slow_until_ = std::max(slow_until_, since[i] + settings_.slow_start.window);
  }
}

Result<void> EndpointSet::build_levels(const EndpointSet* previous, PickTime now) {
  std::map<uint32_t, LevelHealth> by_priority;
  for (const Endpoint& e : endpoints_) {
    if (e.weight == 0) continue;
    LevelHealth& health = by_priority[e.priority];
    ++health.total;
    health.available += e.available() ? 1 : 0;
    health.draining += e.draining ? 1 : 0;
  }
  std::vector<LevelHealth> healths;
  for (const auto& [priority, health] : by_priority) {
    healths.push_back(health);
    levels_.push_back({priority});
  }
  const auto shares = share_levels(healths, settings_.overprovisioning, settings_.panic_percent);
  std::vector<double> parts;
  for (const LevelShare& share : shares) parts.push_back(share.share);
  const auto bounds = bounds_of(parts);
  for (size_t i = 0; i < levels_.size(); ++i) {
    levels_[i].share = shares[i].share;
    levels_[i].panic = shares[i].panic;
    levels_[i].up_to = bounds[i];
    if (auto built = build_groups(levels_[i], previous, now); !built) return built;
  }
  return {};
}

Result<void> EndpointSet::build_groups(PickLevel& level, const EndpointSet* previous, PickTime now) {
  std::vector<uint32_t> members;
  std::map<std::string, ZoneCapacity> capacities;
  std::map<std::string, std::vector<uint32_t>> by_zone;
  for (uint32_t i = 0; i < endpoints_.size(); ++i) {
    const Endpoint& e = endpoints_[i];
    if (e.weight == 0 || e.priority != level.priority) continue;
    capacities[e.zone].total += e.weight;
    if (e.draining || !(e.available() || level.panic)) continue;
    capacities[e.zone].available += e.weight;
    members.push_back(i);
    by_zone[e.zone].push_back(i);
  }
  if (members.empty()) return {};

  const ZonePreference& preference = settings_.zones;
  const bool by_zones = !preference.local_zone.empty() && capacities.contains(preference.local_zone) &&
                        by_zone.size() > 1 && members.size() >= preference.min_endpoints && !level.panic &&
                        !is_hash_policy(settings_.policy);
  if (!by_zones) {
    auto group = add_group(std::move(members), previous, now);
    if (!group) return tl::unexpected(group.error());
    level.zones.push_back({static_cast<uint64_t>(kWhole), *group});
    return {};
  }
  // Zones that have proxies but no endpoints count for the proxies' parts.
  for (const auto& [zone, proxies] : preference.proxies) capacities[zone].proxies = proxies;
  std::vector<ZoneCapacity> zones;
  size_t local = 0;
  for (const auto& [zone, capacity] : capacities) {
    if (zone == preference.local_zone) local = zones.size();
    zones.push_back(capacity);
  }
  const auto bounds = bounds_of(share_zones(zones, local, settings_.overprovisioning));
  size_t at = 0;
  for (const auto& [zone, capacity] : capacities) {
    const uint64_t bound = bounds[at++];
    if (capacity.available == 0) continue;
    auto group = add_group(std::move(by_zone[zone]), previous, now);
    if (!group) return tl::unexpected(group.error());
    level.zones.push_back({bound, *group});
  }
  return {};
}

Result<uint32_t> EndpointSet::add_group(std::vector<uint32_t> members, const EndpointSet* previous,
                                        PickTime now) {
  std::vector<uint32_t> weights;
  double sum = 0;
  for (const uint32_t member : members) {
    weights.push_back(endpoints_[member].weight);
    sum += endpoints_[member].weight;
  }
  PickGroup group{std::move(members), AliasTable(weights), sum / static_cast<double>(weights.size())};
  if (auto added = add_tables(group, previous, now); !added) return tl::unexpected(added.error());
  groups_.push_back(std::move(group));
  return static_cast<uint32_t>(groups_.size() - 1);
}

Result<void> EndpointSet::add_tables(PickGroup& group, const EndpointSet* previous, PickTime now) const {
  if (!is_hash_policy(settings_.policy)) return {};
  const PickGroup* same = same_group(group, previous);
  if (settings_.policy == PickPolicy::kRingHash) {
    if (same != nullptr) {
      group.ring = same->ring;
      return {};
    }
    std::vector<RingMember> members;
    for (const uint32_t m : group.members) members.push_back({endpoints_[m].id, endpoints_[m].weight});
    group.ring =
        std::make_shared<HashRing>(members, settings_.ring_min, settings_.ring_max, settings_.hash_key);
    return {};
  }
  std::vector<uint32_t> all;
  std::vector<uint32_t> settled;
  for (uint32_t place = 0; place < group.members.size(); ++place) {
    all.push_back(place);
    const PickTime since = hot_[group.members[place]].since;
    if (since == kAlways || since + settings_.slow_start.window <= now) settled.push_back(place);
  }
  if (same != nullptr) {
    group.maglev = same->maglev;
  } else {
    auto table = maglev_of(all, group);
    if (!table) return tl::unexpected(table.error());
    group.maglev = std::move(*table);
  }
  if (settled.size() < all.size() && !settled.empty()) {
    auto table = maglev_of(settled, group);
    if (!table) return tl::unexpected(table.error());
    group.maglev_before = std::move(*table);
  }
  return {};
}

Result<std::shared_ptr<const std::vector<uint16_t>>> EndpointSet::maglev_of(std::span<const uint32_t> places,
                                                                            const PickGroup& group) const {
  std::vector<MaglevEntry> entries;
  for (const uint32_t place : places) {
    const Endpoint& e = endpoints_[group.members[place]];
    entries.push_back({maglev_identity(e.id), e.weight, static_cast<uint16_t>(place)});
  }
  auto table = build_maglev(entries, settings_.maglev_size, settings_.hash_key);
  if (!table) return tl::unexpected(table.error());
  return std::make_shared<const std::vector<uint16_t>>(std::move(*table));
}

// A group of the previous set with the same members and weights, whose table can be used again.
const PickGroup* EndpointSet::same_group(const PickGroup& group, const EndpointSet* previous) const {
  if (previous == nullptr || previous->settings_ != settings_) return nullptr;
  for (const PickGroup& other : previous->groups_) {
    const auto same = [&](uint32_t a, uint32_t b) {
      return endpoints_[a].id == previous->endpoints_[b].id &&
             endpoints_[a].weight == previous->endpoints_[b].weight;
    };
    if (std::ranges::equal(group.members, other.members, same)) return &other;
  }
  return nullptr;
}

}  // namespace sluice
