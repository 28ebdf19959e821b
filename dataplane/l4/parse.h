// Reads what a balancer needs from a frame, and believes no length before it has checked it.
//
// Ethernet, up to two VLAN tags (802.1Q, 802.1ad), IPv4 with options, IPv6 with extension headers, TCP, UDP,
// ICMP. Bytes in, value out: no DPDK here, so that the parser can be tested and fuzzed alone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "lb/byte_order.h"
#include "lb/drop_reason.h"
#include "lb/flow_hash.h"
#include "lb/outer_header.h"
#include "lb/vip_lookup.h"

namespace sluice::l4 {

inline constexpr uint8_t kProtocolIcmp = 1;
inline constexpr uint8_t kProtocolTcp = 6;
inline constexpr uint8_t kProtocolUdp = 17;
inline constexpr uint8_t kProtocolIcmpv6 = 58;

/// A frame as it lies in its first buffer.
struct FrameView {
  const uint8_t* data;
  uint32_t contiguous;  ///< bytes in the first buffer
  uint32_t total;       ///< bytes of the whole frame, >= contiguous
};

enum class ParsedKind : uint8_t {
  kFlow,    ///< TCP or UDP: ports are known
  kIcmp,    ///< ICMP or ICMPv6: l4_offset points to it
  kNotIp,   ///< ARP, LLDP, ...
  kRefused  ///< see `reason`; `addressed` tells whether the destination could be read
};

struct ParsedPacket {
  ParsedKind kind = ParsedKind::kRefused;
  DropReason reason = DropReason::kTruncated;
  bool addressed = false;
  bool starts_flow = false;   ///< TCP SYN without ACK
  bool dont_fragment = true;  ///< IPv4 DF; always for IPv6
  Family family = Family::kIpv4;
  uint8_t protocol = 0;
  uint8_t traffic_class = 0;
  uint16_t ip_offset = 0;  ///< in the frame
  uint16_t ip_length = 0;  ///< of the IP packet, padding behind it not counted
  uint16_t l4_offset = 0;  ///< in the frame
  uint16_t source_port_raw = 0;
  uint16_t destination_port_raw = 0;
  AddressWords source;
  AddressWords destination;

  ServiceKey service() const { return {destination, family, protocol, Be16::from_raw(destination_port_raw)}; }
};

namespace detail {

template <typename T>
[[gnu::always_inline]] inline T load(const uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}
[[gnu::always_inline]] inline uint16_t load_host16(const uint8_t* at) {
  return Be16::from_raw(load<uint16_t>(at)).host();
}

/// The Internet checksum (RFC 1071) of a header of `words` 32-bit words, at least 5: 0xffff in memory order
/// if a header that includes its checksum is intact.
[[gnu::always_inline]] inline uint16_t header_checksum(const uint8_t* at, uint32_t words) {
  uint64_t sum = uint64_t{load<uint32_t>(at)} + load<uint32_t>(at + 4) + load<uint32_t>(at + 8) +
                 load<uint32_t>(at + 12) + load<uint32_t>(at + 16);
  for (uint32_t i = 5; i < words; ++i) [[unlikely]] sum += load<uint32_t>(at + 4 * i);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum + (sum >> 16));
}

[[gnu::always_inline]] inline ParsedPacket refuse(ParsedPacket& packet, DropReason reason) {
  packet.kind = ParsedKind::kRefused;
  packet.reason = reason;
  return packet;
}

/// What stands behind the IPv6 header and its extension headers.
struct Ipv6Payload {
  bool ok = false;
  DropReason reason = DropReason::kTruncated;
  uint8_t protocol = 0;
  uint32_t offset = 0;
};

/// Walks extension headers (RFC 8200 section 4) from `offset` up to `end`, both in `data`. An atomic fragment
/// (RFC 6946) is no fragment.
inline Ipv6Payload skip_extension_headers(const uint8_t* data, uint32_t offset, uint32_t end, uint8_t next) {
  constexpr int kMaxHeaders = 8;
  constexpr uint8_t kHopByHop = 0, kRouting = 43, kFragment = 44, kAuthentication = 51, kDestination = 60;
  Ipv6Payload payload;
  for (int headers = 0;; ++headers) {
    uint32_t length = 0;
    if (next == kHopByHop || next == kRouting || next == kDestination || next == kFragment ||
        next == kAuthentication) {
      if (headers == kMaxHeaders) {
        payload.reason = DropReason::kExtensionHeaders;
        return payload;
      }
      if (offset + 8 > end) return payload;
      const uint8_t* header = data + offset;
      if (next == kFragment) {
        length = 8;
        if ((load_host16(header + 2) & 0xfff9) != 0) {
          payload.reason = DropReason::kFragment;
          return payload;
        }
      } else if (next == kAuthentication) {
        length = (header[1] + 2u) * 4;
      } else {
        length = (header[1] + 1u) * 8;
      }
      next = header[0];
      offset += length;
      if (offset > end) return payload;
    } else {
      payload.ok = true;
      payload.protocol = next;
      payload.offset = offset;
      return payload;
    }
  }
}

/// Ports and flags at l4_offset; `end` is the end of the IP packet or of the first buffer, whichever is less.
[[gnu::always_inline]] inline ParsedPacket parse_l4(const uint8_t* data, uint32_t end, ParsedPacket& packet) {
  const uint32_t available = end - packet.l4_offset;
  const uint8_t* l4 = data + packet.l4_offset;
  if (packet.protocol == kProtocolTcp) {
    if (available < 20) return refuse(packet, DropReason::kTruncated);
    constexpr uint8_t kSyn = 0x02, kAck = 0x10;
    packet.starts_flow = (l4[13] & (kSyn | kAck)) == kSyn;
  } else if (packet.protocol == kProtocolUdp) {
    if (available < 8) return refuse(packet, DropReason::kTruncated);
  } else if (packet.protocol == (packet.family == Family::kIpv4 ? kProtocolIcmp : kProtocolIcmpv6)) {
    if (available < 8) return refuse(packet, DropReason::kTruncated);
    packet.kind = ParsedKind::kIcmp;
    return packet;
  } else {
    return refuse(packet, DropReason::kUnsupportedProtocol);
  }
  packet.source_port_raw = load<uint16_t>(l4);
  packet.destination_port_raw = load<uint16_t>(l4 + 2);
  packet.kind = ParsedKind::kFlow;
  return packet;
}

[[gnu::always_inline]] inline ParsedPacket parse_ipv4(const FrameView& frame, uint32_t offset,
                                                      bool verify_checksum, ParsedPacket& packet) {
  if (offset + kIpv4Header > frame.contiguous) return refuse(packet, DropReason::kTruncated);
  const uint8_t* ip = frame.data + offset;
  packet.source.low = load<uint32_t>(ip + 12);
  packet.destination.low = load<uint32_t>(ip + 16);
  packet.addressed = true;
  const uint32_t header_length = (ip[0] & 0x0fu) * 4;
  const uint32_t total_length = load_host16(ip + 2);
  if ((ip[0] >> 4) != 4 || header_length < kIpv4Header || total_length < header_length) {
    return refuse(packet, DropReason::kBadIpHeader);
  }
  if (offset + total_length > frame.total || offset + header_length > frame.contiguous) {
    return refuse(packet, DropReason::kTruncated);
  }
  if (verify_checksum && header_checksum(ip, header_length / 4) != 0xffff) [[unlikely]] {
    return refuse(packet, DropReason::kBadIpChecksum);
  }
  const uint16_t fragment = load_host16(ip + 6);
  packet.dont_fragment = (fragment & 0x4000) != 0;
  if ((fragment & 0x3fff) != 0) return refuse(packet, DropReason::kFragment);
  packet.traffic_class = ip[1];
  packet.protocol = ip[9];
  packet.ip_length = static_cast<uint16_t>(total_length);
  packet.l4_offset = static_cast<uint16_t>(offset + header_length);
  return parse_l4(frame.data, std::min(offset + total_length, frame.contiguous), packet);
}

[[gnu::always_inline]] inline ParsedPacket parse_ipv6(const FrameView& frame, uint32_t offset,
                                                      ParsedPacket& packet) {
  packet.family = Family::kIpv6;
  if (offset + kIpv6Header > frame.contiguous) return refuse(packet, DropReason::kTruncated);
  const uint8_t* ip = frame.data + offset;
  packet.source = {load<uint64_t>(ip + 8), load<uint64_t>(ip + 16)};
  packet.destination = {load<uint64_t>(ip + 24), load<uint64_t>(ip + 32)};
  packet.addressed = true;
  const uint32_t total_length = kIpv6Header + load_host16(ip + 4);
  if ((ip[0] >> 4) != 6 || total_length > UINT16_MAX) return refuse(packet, DropReason::kBadIpHeader);
  if (offset + total_length > frame.total) return refuse(packet, DropReason::kTruncated);
  packet.traffic_class = static_cast<uint8_t>(load_host16(ip) >> 4);
  packet.ip_length = static_cast<uint16_t>(total_length);
  const uint32_t end = std::min(offset + total_length, frame.contiguous);
  packet.protocol = ip[6];
  uint32_t l4_offset = offset + kIpv6Header;
  if (packet.protocol != kProtocolTcp && packet.protocol != kProtocolUdp) [[unlikely]] {
    const Ipv6Payload payload = skip_extension_headers(frame.data, l4_offset, end, packet.protocol);
    if (!payload.ok) return refuse(packet, payload.reason);
    packet.protocol = payload.protocol;
    l4_offset = payload.offset;
  }
  packet.l4_offset = static_cast<uint16_t>(l4_offset);
  return parse_l4(frame.data, end, packet);
}

}  // namespace detail

/// Parses a frame. `verify_checksum`: whether the IPv4 header checksum must be computed (the NIC did not).
/// Transport checksums are left to the backend, which sees the packet unchanged.
[[gnu::always_inline]] inline ParsedPacket parse(const FrameView& frame, bool verify_checksum) {
  ParsedPacket packet;
  uint32_t offset = kEthernetHeader;
  if (frame.contiguous < offset) return packet;
  uint16_t ether_type = detail::load_host16(frame.data + 12);
  for (int tags = 0; tags < 2 && (ether_type == 0x8100 || ether_type == 0x88a8); ++tags) {
    if (frame.contiguous < offset + 4) return packet;
    ether_type = detail::load_host16(frame.data + offset + 2);
    offset += 4;
  }
  packet.ip_offset = static_cast<uint16_t>(offset);
  if (ether_type == kEtherTypeIpv4) return detail::parse_ipv4(frame, offset, verify_checksum, packet);
  if (ether_type == kEtherTypeIpv6) return detail::parse_ipv6(frame, offset, packet);
  packet.kind = ParsedKind::kNotIp;
  return packet;
}

}  // namespace sluice::l4
