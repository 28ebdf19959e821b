// The way through the tunnel, as the checks see it: control/check_tunnel.h is the real one.
#pragma once

#include <cstdint>
#include <string>

#include "control/health/check_result.h"
#include "control/health/health_target.h"
#include "lb/model.h"
#include "lb/result.h"

namespace sluice::control {

class TunnelPath {
 public:
  /// Where a check's socket connects to.
  struct Way {
    IpAddress address;
    uint32_t scope = 0;  ///< of an IPv6 address
  };

  virtual ~TunnelPath() = default;

  /// Binds a new TCP or UDP socket of the VIP's family so that what it sends to the way's address and the
  /// target's port goes to target.vip at that port, through the tunnel to target.address, and the answers
  /// come to the socket. Otherwise the result of the check.
  virtual tl::expected<Way, CheckResult> lead(int socket, Protocol protocol, const HealthTarget& target) = 0;

  /// What there is to be said and done about a check that got no answer: "...", to stand behind a colon.
  virtual std::string advice(const HealthTarget& target) = 0;
};

}  // namespace sluice::control
