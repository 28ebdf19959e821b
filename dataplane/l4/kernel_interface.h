// What the kernel knows about one of its network interfaces.
#pragma once

#include <cstdint>
#include <string>

#include "lb/result.h"

namespace sluice::l4 {

struct KernelInterface {
  bool up = false;              ///< set up by the operator; says nothing about the carrier
  uint32_t mtu = 0;             ///< bytes of an IP packet
  uint16_t receive_queues = 1;  ///< in use now, not the most there could be
};

/// Asked by ioctl, because /sys/class/net shows the network namespace it was mounted in, not ours. The Error
/// names the interfaces there are.
Result<KernelInterface> find_interface(const std::string& name);

}  // namespace sluice::l4
