// One backend to be checked, and what is known of its health. Values.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "lb/address.h"
#include "lb/health_check.h"

namespace sluice::control {

/// A backend of a pool and how it is checked. Its identity is (pool, address).
struct HealthTarget {
  std::string pool;
  std::string backend;  ///< its name, for people
  IpAddress address;
  uint16_t port = 0;  ///< unused by icmp
  HealthCheck check;
  PoolPolicy policy;
  /// Taken for healthy until checks say otherwise; only looked at when the target is new. For state that
  /// was known before a restart.
  bool trusted = false;
  std::optional<IpAddress> vip;  ///< via tunnel: what is checked, at `port`; set exactly then

  /// The address that the server is asked at.
  const IpAddress& checked_address() const { return vip ? *vip : address; }
  friend bool operator==(const HealthTarget&, const HealthTarget&) = default;
};

struct BackendHealth {
  bool healthy = false;
  bool settled = false;                         ///< at least one check has ended
  bool leaving = false;                         ///< unhealthy because it has said that it leaves
  bool held = false;                            ///< its checks are good, but flap damping keeps it unhealthy
  std::string last_error;                       ///< of the last check; "" if it was good or there was none
  std::chrono::system_clock::time_point since;  ///< of the present state
  std::chrono::system_clock::time_point last_check;  ///< its end; the epoch: none yet
  std::chrono::system_clock::time_point next_check;  ///< the epoch: it is not checked
  std::chrono::microseconds latency{0};              ///< of the last good check; 0: silence was good
  uint64_t checks = 0;
  uint64_t failures = 0;
};

}  // namespace sluice::control
