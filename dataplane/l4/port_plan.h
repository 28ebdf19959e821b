// What a port will be, from the operator's words and from what the machine has: found out before DPDK starts,
// so that a start that cannot succeed ends early, with words of our own, and has nothing to clean up.
#pragma once

#include <cstdint>

#include "dataplane/l4/settings.h"
#include "lb/result.h"

namespace sluice::l4 {

struct PortPlan {
  PortSettings settings;        ///< AF_XDP: `mtu` is not above the interface's
  uint16_t receive_queues = 0;  ///< 0: one per worker, if the device offers so many
  uint32_t largest_packet = 0;  ///< bytes of the largest IP packet that can arrive
};

/// Looks at the machine and changes nothing, but for one thing: the XDP program that a killed sluiced left on
/// the interface is taken off. Errors say what to do.
///
/// AF_XDP: every receive queue that the interface has must be served, or its VIP packets would not be
/// balanced; and each of the `workers` needs a queue of its own to send.
Result<PortPlan> plan_port(const PortSettings& settings, uint32_t workers);

}  // namespace sluice::l4
