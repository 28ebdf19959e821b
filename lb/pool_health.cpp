#include "lb/pool_health.h"

namespace sluice {

namespace {

bool takes_new_flows(const Backend& backend) {
  return backend.state == BackendState::kActive && backend.weight > 0;
}

PoolMode mode_of(const Pool& pool, uint32_t healthy, uint32_t wanted) {
  const bool enough = healthy >= pool.policy.min_healthy;
  if (!enough && pool.policy.too_few == TooFewHealthy::kWithdraw) return PoolMode::kTooFew;
  if (!enough) return PoolMode::kFailOpen;
  const bool panic = uint64_t{healthy} * 100 < uint64_t{wanted} * pool.policy.panic_percent;
  return panic ? PoolMode::kPanic : PoolMode::kNormal;
}

// Of a backend that is not used because of its health.
BackendState unused(BackendState wanted, bool leaving) {
  return leaving && wanted != BackendState::kDown ? BackendState::kDrain : BackendState::kDown;
}

}  // namespace

std::optional<uint16_t> health_port(const Services& services, const Pool& pool, const Backend& backend) {
  if (backend.health_port) return backend.health_port;
  if (pool.health.port) return pool.health.port;
  for (const Vip& vip : services.vips) {
    if (vip.pool == pool.name && vip.ports.is_single()) return vip.ports.first;
  }
  return std::nullopt;
}

std::optional<IpAddress> health_vip(const Services& services, const Pool& pool, uint16_t port) {
  std::optional<IpAddress> first;
  for (const Vip& vip : services.vips) {
    if (vip.pool != pool.name || !vip.address.is_host()) continue;
    if (vip.ports.contains(port)) return vip.address.address();
    if (!first) first = vip.address.address();
  }
  return first;
}

PoolHealth assess_pool(const Pool& pool, const std::vector<bool>& healthy, const std::vector<bool>& leaving) {
  PoolHealth health;
  for (size_t i = 0; i < pool.backends.size(); ++i) {
    if (!takes_new_flows(pool.backends[i])) continue;
    ++health.wanted;
    health.healthy += healthy[i] ? 1 : 0;
  }
  health.mode = mode_of(pool, health.healthy, health.wanted);
  const bool use_all = health.mode == PoolMode::kPanic || health.mode == PoolMode::kFailOpen;
  for (size_t i = 0; i < pool.backends.size(); ++i) {
    const BackendState wanted = pool.backends[i].state;
    const bool leaves = i < leaving.size() && leaving[i];
    health.states.push_back(use_all || healthy[i] ? wanted : unused(wanted, leaves));
  }
  return health;
}

Services with_effective_states(Services services, const std::vector<PoolHealth>& pools) {
  for (size_t p = 0; p < services.pools.size(); ++p) {
    auto& backends = services.pools[p].backends;
    for (size_t i = 0; i < backends.size(); ++i) backends[i].state = pools[p].states[i];
  }
  return services;
}

}  // namespace sluice
