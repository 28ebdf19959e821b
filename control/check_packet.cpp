#include "control/check_packet.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "lb/outer_header.h"

namespace sluice::control {

namespace {

constexpr size_t kIcmpHeader = 8;

/// Where the parts of a packet are.
struct Layout {
  bool is_v4 = true;
  uint8_t protocol = 0;
  size_t payload = 0;  ///< behind the IP header
  size_t end = 0;      ///< by the IP header
};

uint16_t read16(std::span<const uint8_t> bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

void write16(std::span<uint8_t> bytes, size_t at, uint16_t value) {
  bytes[at] = static_cast<uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<uint8_t>(value);
}

std::optional<Layout> layout_of(std::span<const uint8_t> packet) {
  if (packet.empty()) return std::nullopt;
  if (packet[0] >> 4 == 4 && packet.size() >= kIpv4Header) {
    const size_t header = size_t{packet[0] & 0x0fu} * 4;
    const bool fragment = (read16(packet, 6) & 0x3fff) != 0;
    const Layout layout{true, packet[9], header, read16(packet, 2)};
    if (header < kIpv4Header || layout.end < header || fragment) return std::nullopt;
    return layout;
  }
  if (packet[0] >> 4 == 6 && packet.size() >= kIpv6Header) {
    return Layout{false, packet[6], kIpv6Header, size_t{kIpv6Header} + read16(packet, 4)};
  }
  return std::nullopt;
}

bool has_ports(const Layout& layout) {
  return layout.protocol == IPPROTO_TCP || layout.protocol == IPPROTO_UDP;
}

/// Destination unreachable and parameter problem: what tells a socket that nobody takes its packets. RFC 792;
/// RFC 4443, sections 3.1 and 3.4.
bool is_icmp_error(std::span<const uint8_t> packet, const Layout& layout) {
  const uint8_t type = packet[layout.payload];
  return layout.is_v4 ? layout.protocol == IPPROTO_ICMP && (type == 3 || type == 12)
                      : layout.protocol == IPPROTO_ICMPV6 && (type == 1 || type == 4);
}

IpAddress address_at(std::span<const uint8_t> packet, bool is_v4, bool source) {
  if (is_v4) return IpAddress::v4(packet.data() + (source ? 12 : 16));
  IpAddress::Bytes bytes;
  std::copy_n(packet.data() + (source ? 8 : 24), bytes.size(), bytes.begin());
  return IpAddress::v6(bytes);
}

void put_addresses(std::span<uint8_t> packet, const IpAddress& source, const IpAddress& destination) {
  if (source.is_v4()) {
    std::memcpy(packet.data() + 12, source.v4_bytes(), 4);
    std::memcpy(packet.data() + 16, destination.v4_bytes(), 4);
  } else {
    std::memcpy(packet.data() + 8, source.bytes().data(), 16);
    std::memcpy(packet.data() + 24, destination.bytes().data(), 16);
  }
}

FiveTuple flow_at(std::span<const uint8_t> packet, const Layout& layout) {
  return {address_at(packet, layout.is_v4, true), address_at(packet, layout.is_v4, false),
          Be16(read16(packet, layout.payload)), Be16(read16(packet, layout.payload + 2)), layout.protocol};
}

/// Sum of 16-bit words, an odd byte last padded with zero (RFC 1071), not folded.
uint64_t sum_of(std::span<const uint8_t> bytes) {
  uint64_t sum = 0;
  size_t i = 0;
  for (; i + 1 < bytes.size(); i += 2) sum += read16(bytes, i);
  if (i < bytes.size()) sum += uint64_t{bytes[i]} << 8;
  return sum;
}

uint16_t checksum_of(uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

void set_ipv4_header_checksum(std::span<uint8_t> packet, size_t header) {
  write16(packet, 10, 0);
  write16(packet, 10, checksum_of(sum_of(packet.first(header))));
}

/// Of TCP, UDP, ICMP or ICMPv6; the addresses are in place.
void set_payload_checksum(std::span<uint8_t> packet, const Layout& layout) {
  const size_t offset = layout.protocol == IPPROTO_TCP ? 16 : layout.protocol == IPPROTO_UDP ? 6 : 2;
  const auto payload = packet.subspan(layout.payload, layout.end - layout.payload);
  write16(payload, offset, 0);
  uint64_t sum = sum_of(payload);
  if (layout.protocol != IPPROTO_ICMP) {
    const auto addresses = layout.is_v4 ? packet.subspan(12, 8) : packet.subspan(8, 32);
    sum += sum_of(addresses) + payload.size() + layout.protocol;
  }
  uint16_t checksum = checksum_of(sum);
  // RFC 768: zero would say that there is none.
  if (layout.protocol == IPPROTO_UDP && checksum == 0) checksum = 0xffff;
  write16(payload, offset, checksum);
}

/// The packet that an ICMP error is about: its header, and at least the ports.
std::optional<Layout> layout_of_quoted(std::span<const uint8_t> quoted, bool is_v4) {
  const auto layout = layout_of(quoted);
  if (!layout || layout->is_v4 != is_v4 || !has_ports(*layout)) return std::nullopt;
  return layout->payload + 4 <= quoted.size() ? layout : std::nullopt;
}

std::optional<Layout> whole(std::span<const uint8_t> packet) {
  const auto layout = layout_of(packet);
  if (!layout || layout->end > packet.size()) return std::nullopt;
  const size_t needed = layout->protocol == IPPROTO_TCP ? 20 : kIcmpHeader;
  return layout->end - layout->payload >= needed ? layout : std::nullopt;
}

}  // namespace

std::optional<CheckPacket> read_check_packet(std::span<const uint8_t> packet) {
  const auto layout = whole(packet);
  if (!layout) return std::nullopt;
  CheckPacket found;
  found.length = static_cast<uint16_t>(layout->end);
  found.traffic_class = layout->is_v4 ? packet[1] : static_cast<uint8_t>(packet[0] << 4 | packet[1] >> 4);
  if (has_ports(*layout)) {
    found.flow = flow_at(packet, *layout);
    return found;
  }
  if (!is_icmp_error(packet, *layout)) return std::nullopt;
  const auto quoted = packet.first(layout->end).subspan(layout->payload + kIcmpHeader);
  const auto inner = layout_of_quoted(quoted, layout->is_v4);
  if (!inner) return std::nullopt;
  const FiveTuple failed = flow_at(quoted, *inner);
  found.flow = {failed.destination, failed.source, failed.destination_port, failed.source_port,
                failed.protocol};
  found.is_icmp_error = true;
  return found;
}

bool readdress(std::span<uint8_t> packet, const IpAddress& source, const IpAddress& destination) {
  const auto found = read_check_packet(packet);
  if (!found) return false;
  const Layout layout = *whole(packet);
  put_addresses(packet, source, destination);
  if (layout.is_v4) set_ipv4_header_checksum(packet, layout.payload);
  if (found->is_icmp_error) {
    const auto quoted = packet.first(layout.end).subspan(layout.payload + kIcmpHeader);
    put_addresses(quoted, destination, source);
    if (layout.is_v4) set_ipv4_header_checksum(quoted, layout_of(quoted)->payload);
  }
  set_payload_checksum(packet, layout);
  return true;
}

}  // namespace sluice::control
