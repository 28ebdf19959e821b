// What a pool's health means for its traffic: which backends are used, and whether its VIPs are announced.
// Pure arithmetic on settings and states.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "lb/model.h"

namespace sluice {

enum class PoolMode : uint8_t {
  kNormal,    ///< healthy backends are used
  kPanic,     ///< so few are healthy that the check is not believed: all are used
  kFailOpen,  ///< fewer than min_healthy, and the policy says: all are used
  kTooFew,    ///< fewer than min_healthy: the VIPs are withdrawn; flows that still come use what is healthy
};

struct PoolHealth {
  PoolMode mode = PoolMode::kNormal;
  uint32_t healthy = 0;  ///< active backends with weight that are healthy
  uint32_t wanted = 0;   ///< active backends with weight: those that the operator wants used
  /// Effective states, in the order of the pool's backends: the operator's, and kDown for what is not used
  /// because it is unhealthy, or kDrain if it leaves. What the operator drains or takes down stays so in
  /// every mode.
  std::vector<BackendState> states;

  bool announceable() const { return mode != PoolMode::kTooFew; }
};

/// The port on which a backend is checked: its own, the check's, or that of the pool's first VIP that has a
/// single one. Nothing if there is none of these.
std::optional<uint16_t> health_port(const Services& services, const Pool& pool, const Backend& backend);

/// The VIP address at which backends are checked through the tunnel: of the pool's VIPs that are a single
/// address, the first with `port`, else the first. Nothing if there is none.
std::optional<IpAddress> health_vip(const Services& services, const Pool& pool, uint16_t port);

/// `healthy[i]` is the health of pool.backends[i]; `leaving[i]` whether it has said that it leaves, and is
/// unhealthy for that reason (empty: none has).
PoolHealth assess_pool(const Pool& pool, const std::vector<bool>& healthy,
                       const std::vector<bool>& leaving = {});

/// `services` with the effective states of their pools in the place of the operator's; what the forwarding
/// table is built from. `pools[i]` belongs to services.pools[i].
Services with_effective_states(Services services, const std::vector<PoolHealth>& pools);

}  // namespace sluice
