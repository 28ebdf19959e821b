#include "lb/forwarding_table.h"

#include <fmt/format.h>

#include <algorithm>

namespace sluice {

namespace {

FlowTick idle_timeout_ticks(const Vip& vip) {
  const auto seconds = std::clamp<int64_t>(vip.idle_timeout.count(), 1, kMaxIdleTimeoutSeconds);
  return static_cast<FlowTick>((seconds + kFlowTickSeconds - 1) / kFlowTickSeconds);
}

}  // namespace

std::string ForwardingIds::backend_name(const Pool& pool, const Backend& backend) {
  return fmt::format("{} {}", pool.name, backend.address.to_string());
}

std::vector<FlowTick> backend_idle_timeouts(const Services& services, const ForwardingIds& ids) {
  std::map<std::string, FlowTick> of_pool;
  for (const Vip& vip : services.vips) {
    FlowTick& longest = of_pool[vip.pool];
    longest = std::max(longest, idle_timeout_ticks(vip));
  }
  std::vector<FlowTick> timeouts;
  for (const Pool& pool : services.pools) {
    for (const Backend& backend : pool.backends) {
      const auto id = ids.backends.find(ForwardingIds::backend_name(pool, backend));
      if (!id) continue;
      if (timeouts.size() <= *id) timeouts.resize(*id + 1u);
      timeouts[*id] = of_pool[pool.name];
    }
  }
  return timeouts;
}

Result<std::unique_ptr<const ForwardingTable>> ForwardingTable::build(const Services& services,
                                                                      const EgressLookup& egress,
                                                                      ForwardingIds& ids,
                                                                      const ForwardingTable* previous) {
  std::unique_ptr<ForwardingTable> table(new ForwardingTable);
  table->hash_key_ = cluster_key(services.cluster_seed);
  table->lookup_ = VipLookup(services.vips);
  table->backends_.resize(1);
  for (const Pool& pool : services.pools) {
    if (auto added = table->add_pool(pool, services.tunnel, egress, ids, previous); !added) {
      return tl::unexpected(added.error());
    }
  }
  for (const Vip& vip : services.vips) {
    if (auto added = table->add_vip(vip, ids); !added) return tl::unexpected(added.error());
  }
  table->backend_count_ = static_cast<uint32_t>(table->backends_.size());
  return table;
}

Result<void> ForwardingTable::add_pool(const Pool& pool, const Tunnel& tunnel, const EgressLookup& egress,
                                       ForwardingIds& ids, const ForwardingTable* previous) {
  PoolTable& entry = pools_[pool.name];
  entry.size = pool.maglev_size;
  for (const Backend& backend : pool.backends) {
    const std::string name = ForwardingIds::backend_name(pool, backend);
    const auto id = ids.backends.acquire(name);
    if (!id) {
      return fail(fmt::format("pool '{}': more than {} backends in all pools", pool.name,
                              ForwardingIds::kMaxBackends));
    }
    backend_names_.insert(name);
    add_backend(*id, backend, tunnel, egress);
    if (backend.state == BackendState::kActive)
      entry.members.push_back({backend.address, backend.weight, *id});
  }

  // The same members, whatever their order in the file, make the same table.
  std::sort(entry.members.begin(), entry.members.end(),
            [](const MaglevEntry& a, const MaglevEntry& b) { return a.identity < b.identity; });
  if (previous != nullptr && previous->hash_key_ == hash_key_) {
    const auto found = previous->pools_.find(pool.name);
    if (found != previous->pools_.end() && found->second.size == entry.size &&
        found->second.members == entry.members) {
      entry.slots = found->second.slots;
      entry.slots_owned = found->second.slots_owned;
      return {};
    }
  }
  auto slots = build_maglev(entry.members, entry.size, hash_key_);
  if (!slots) return fail(fmt::format("pool '{}': {}", pool.name, slots.error().message));
  BackendId highest = 0;
  for (const MaglevEntry& member : entry.members) highest = std::max(highest, member.id);
  std::vector<uint32_t> owned(highest + 1u);
  for (const BackendId id : *slots) ++owned[id];
  std::map<BackendId, uint32_t> slots_owned;
  for (const MaglevEntry& member : entry.members) slots_owned[member.id] = owned[member.id];
  entry.slots = std::make_shared<const std::vector<BackendId>>(std::move(*slots));
  entry.slots_owned = std::make_shared<const std::map<BackendId, uint32_t>>(std::move(slots_owned));
  return {};
}

void ForwardingTable::add_backend(BackendId id, const Backend& backend, const Tunnel& tunnel,
                                  const EgressLookup& egress) {
  if (backends_.size() <= id) backends_.resize(id + 1u);
  ForwardBackend& entry = backends_[id];
  entry.takes_known_flows = backend.state != BackendState::kDown;
  const auto& source = backend.address.is_v4() ? tunnel.source_ipv4 : tunnel.source_ipv6;
  const auto way = egress(backend);
  if (!source || !way) return;
  entry.outer = make_outer_header(tunnel, *source, backend.address, way->source, way->next_hop);
  entry.port = way->port;
  entry.max_inner_length = static_cast<uint16_t>(std::max(way->mtu - entry.outer.overhead(), 0));
  entry.resolved = true;
}

Result<void> ForwardingTable::add_vip(const Vip& vip, ForwardingIds& ids) {
  const auto id = ids.vips.acquire(vip.name);
  if (!id) return fail(fmt::format("vip '{}': more than {} VIPs", vip.name, ForwardingIds::kMaxVips));
  const auto pool = pools_.find(vip.pool);
  if (pool == pools_.end()) return fail(fmt::format("vip '{}': there is no pool '{}'", vip.name, vip.pool));
  vip_names_.insert(vip.name);

  ForwardVip entry;
  entry.id = *id;
  entry.slots = pool->second.slots->data();
  entry.slot_count = static_cast<uint32_t>(pool->second.slots->size());
  entry.idle_timeout = idle_timeout_ticks(vip);
  longest_idle_timeout_ = std::max(longest_idle_timeout_, entry.idle_timeout);
  vips_.push_back(entry);
  return {};
}

void ForwardingTable::release_ids(ForwardingIds& ids) const {
  ids.vips.retain(vip_names_);
  ids.backends.retain(backend_names_);
}

double ForwardingTable::slots_share(const std::string& pool, BackendId backend) const {
  const auto found = pools_.find(pool);
  if (found == pools_.end() || found->second.slots->empty()) return 0;
  const auto owned = found->second.slots_owned->find(backend);
  if (owned == found->second.slots_owned->end()) return 0;
  return static_cast<double>(owned->second) / static_cast<double>(found->second.slots->size());
}

}  // namespace sluice
