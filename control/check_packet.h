// IP packets of health checks that go through the tunnel: whose they are, and under other addresses.
//
// A check's socket talks to an address on a TUN device of this process; on the wire the packet goes from this
// node's address to the VIP. Both are one flow: ports and content are the same, only the addresses differ.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "lb/flow_hash.h"

namespace sluice::control {

struct CheckPacket {
  /// Of the packet itself; of an ICMP error, of the packet that would have been the answer: from the one whom
  /// the failed packet was for, to its sender.
  FiveTuple flow;
  bool is_icmp_error = false;
  uint16_t length = 0;        ///< of the IP packet, in bytes
  uint8_t traffic_class = 0;  ///< DSCP and ECN
};

/// Nothing if it is not whole, a fragment, or neither TCP, nor UDP, nor an ICMP error about one of these.
std::optional<CheckPacket> read_check_packet(std::span<const uint8_t> packet);

/// Puts other addresses into a packet that read_check_packet() understands; into an ICMP error also, the
/// other way round, for those of the packet that it is about. The addresses are of the packet's family.
/// Checksums are computed anew over all of it: the kernel hands out packets from its own devices without one.
/// False, and nothing changed, if read_check_packet() would not understand it.
bool readdress(std::span<uint8_t> packet, const IpAddress& source, const IpAddress& destination);

}  // namespace sluice::control
