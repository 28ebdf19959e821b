// ICMP at a balancer: errors about a VIP's flows find the flow's backend; echo requests to a VIP and packets
// that are too big for the tunnel are answered here. Bytes in, bytes out; no DPDK.
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/l4/parse.h"

namespace sluice::l4 {

/// Whether the ICMP packet is an echo request (RFC 792; RFC 4443 section 4.1).
bool is_echo_request(const FrameView& frame, const ParsedPacket& packet);

/// The client-to-VIP flow that an ICMP error is about: the error quotes a packet from the VIP to the client,
/// so source and destination are turned round. Nothing if it is no error (RFC 792, RFC 4443 section 2.1), the
/// quote is too short or a later fragment, or the quoted sender is not the address that the error was sent to
/// (a forgery). `ip_offset`, `ip_length` and `traffic_class` stay those of the error itself.
std::optional<ParsedPacket> quoted_flow(const FrameView& frame, const ParsedPacket& packet);

/// Whether the ICMP packet says that its destination cannot be reached (RFC 792 type 3, RFC 4443
/// section 3.1). "Fragmentation needed" is of that type in IPv4, but an answer to a size, not a fault.
bool is_unreachable_error(const FrameView& frame, const ParsedPacket& packet);

/// Turns the echo request in `frame` (writable, `packet` parsed from it) into its reply, towards the sender
/// of the frame. VLAN tags stay.
void make_echo_reply(uint8_t* frame, const ParsedPacket& packet);

/// Bytes before the IP packet that make_packet_too_big needs, and the most it keeps of the packet itself.
inline constexpr uint32_t kTooBigRoom = kEthernetHeader + kIpv6Header + 8;
inline constexpr uint32_t kTooBigQuoteIpv4 = 548;   // RFC 1812 section 4.3.2.3: 576 in all
inline constexpr uint32_t kTooBigQuoteIpv6 = 1232;  // RFC 4443 section 2.4: 1280 in all

struct IcmpAnswer {
  uint8_t* start;   ///< first byte of the frame
  uint32_t length;  ///< of the frame
};

/// Writes "fragmentation needed" (RFC 1191) or "packet too big" (RFC 4443 section 3.2) about `packet` before
/// its IP header, from the VIP to the client, back to the sender of the frame. kTooBigRoom bytes before the
/// IP header must be writable. `mtu` is the largest packet that would have fitted. VLAN tags are dropped.
IcmpAnswer make_packet_too_big(uint8_t* frame, const ParsedPacket& packet, uint16_t mtu);

}  // namespace sluice::l4
