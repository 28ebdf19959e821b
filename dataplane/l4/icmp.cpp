#include "dataplane/l4/icmp.h"

#include <array>
#include <utility>

namespace sluice::l4 {

namespace {

constexpr uint8_t kHopLimit = 64;

void store16(uint8_t* at, uint16_t host) {
  const uint16_t raw = Be16(host).raw();
  std::memcpy(at, &raw, sizeof raw);
}

/// One's complement sum of bytes (RFC 1071), to be folded by `fold`. Summed in network order.
uint64_t sum_of(const uint8_t* bytes, uint32_t count, uint64_t sum = 0) {
  for (uint32_t i = 0; i + 1 < count; i += 2) sum += static_cast<uint32_t>(bytes[i] << 8 | bytes[i + 1]);
  if (count % 2 != 0) sum += static_cast<uint32_t>(bytes[count - 1] << 8);
  return sum;
}

uint16_t fold(uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

bool is_error(Family family, uint8_t type) {
  if (family == Family::kIpv6) return type < 128;
  constexpr uint8_t kUnreachable = 3, kSourceQuench = 4, kTimeExceeded = 11, kParameterProblem = 12;
  return type == kUnreachable || type == kSourceQuench || type == kTimeExceeded || type == kParameterProblem;
}

/// Reads addresses and ports of a quoted packet, which is usually cut short: its lengths say nothing.
std::optional<ParsedPacket> parse_quote(const uint8_t* data, uint32_t offset, uint32_t end, Family family) {
  ParsedPacket quote;
  quote.family = family;
  const uint8_t* ip = data + offset;
  uint32_t l4_offset = 0;
  if (family == Family::kIpv4) {
    if (offset + kIpv4Header > end || (ip[0] >> 4) != 4) return std::nullopt;
    const uint32_t header_length = (ip[0] & 0x0fu) * 4;
    if (header_length < kIpv4Header || (detail::load_host16(ip + 6) & 0x1fff) != 0) return std::nullopt;
    quote.source.low = detail::load<uint32_t>(ip + 12);
    quote.destination.low = detail::load<uint32_t>(ip + 16);
    quote.protocol = ip[9];
    l4_offset = offset + header_length;
  } else {
    if (offset + kIpv6Header > end || (ip[0] >> 4) != 6) return std::nullopt;
    quote.source = {detail::load<uint64_t>(ip + 8), detail::load<uint64_t>(ip + 16)};
    quote.destination = {detail::load<uint64_t>(ip + 24), detail::load<uint64_t>(ip + 32)};
    const auto payload = detail::skip_extension_headers(data, offset + kIpv6Header, end, ip[6]);
    if (!payload.ok) return std::nullopt;
    quote.protocol = payload.protocol;
    l4_offset = payload.offset;
  }
  if (quote.protocol != kProtocolTcp && quote.protocol != kProtocolUdp) return std::nullopt;
  if (l4_offset + 4 > end) return std::nullopt;
  quote.source_port_raw = detail::load<uint16_t>(data + l4_offset);
  quote.destination_port_raw = detail::load<uint16_t>(data + l4_offset + 2);
  return quote;
}

}  // namespace

bool is_echo_request(const FrameView& frame, const ParsedPacket& packet) {
  const uint8_t* icmp = frame.data + packet.l4_offset;
  return icmp[0] == (packet.family == Family::kIpv4 ? 8 : 128) && icmp[1] == 0;
}

bool is_unreachable_error(const FrameView& frame, const ParsedPacket& packet) {
  const uint8_t* icmp = frame.data + packet.l4_offset;
  return packet.family == Family::kIpv4 ? icmp[0] == 3 && icmp[1] != 4 : icmp[0] == 1;
}

std::optional<ParsedPacket> quoted_flow(const FrameView& frame, const ParsedPacket& packet) {
  if (!is_error(packet.family, frame.data[packet.l4_offset])) return std::nullopt;
  const uint32_t end = std::min<uint32_t>(packet.ip_offset + packet.ip_length, frame.contiguous);
  const auto quote = parse_quote(frame.data, packet.l4_offset + 8u, end, packet.family);
  if (!quote || quote->source != packet.destination) return std::nullopt;
  ParsedPacket flow = packet;
  flow.kind = ParsedKind::kFlow;
  flow.protocol = quote->protocol;
  flow.source = quote->destination;
  flow.destination = quote->source;
  flow.source_port_raw = quote->destination_port_raw;
  flow.destination_port_raw = quote->source_port_raw;
  return flow;
}

void make_echo_reply(uint8_t* frame, const ParsedPacket& packet) {
  std::swap_ranges(frame, frame + 6, frame + 6);
  uint8_t* ip = frame + packet.ip_offset;
  uint8_t* icmp = frame + packet.l4_offset;
  const bool is_v4 = packet.family == Family::kIpv4;
  if (is_v4) {
    std::swap_ranges(ip + 12, ip + 16, ip + 16);
    ip[8] = kHopLimit;
    store16(ip + 10, 0);
    store16(ip + 10, fold(sum_of(ip, packet.l4_offset - packet.ip_offset)));
  } else {
    std::swap_ranges(ip + 8, ip + 24, ip + 24);
    ip[7] = kHopLimit;
  }
  // RFC 1624, equation 3: only the type changes; swapped addresses sum to the same.
  const uint8_t type = is_v4 ? 0 : 129;
  const uint16_t before = static_cast<uint16_t>(icmp[0] << 8 | icmp[1]);
  const uint16_t after = static_cast<uint16_t>(type << 8 | icmp[1]);
  const uint64_t sum = static_cast<uint16_t>(~detail::load_host16(icmp + 2)) +
                       uint64_t{static_cast<uint16_t>(~before)} + after;
  icmp[0] = type;
  store16(icmp + 2, fold(sum));
}

IcmpAnswer make_packet_too_big(uint8_t* frame, const ParsedPacket& packet, uint16_t mtu) {
  constexpr uint32_t kIcmpHeader = 8;
  const bool is_v4 = packet.family == Family::kIpv4;
  uint8_t* quote = frame + packet.ip_offset;
  const uint32_t quote_length =
      std::min<uint32_t>(packet.ip_length, is_v4 ? kTooBigQuoteIpv4 : kTooBigQuoteIpv6);
  const uint32_t ip_header = is_v4 ? kIpv4Header : kIpv6Header;
  uint8_t* icmp = quote - kIcmpHeader;
  uint8_t* ip = icmp - ip_header;
  uint8_t* ethernet = ip - kEthernetHeader;

  // The new Ethernet header may overlap the old one.
  std::array<uint8_t, 12> macs;
  std::memcpy(macs.data(), frame + 6, 6);
  std::memcpy(macs.data() + 6, frame, 6);
  std::memcpy(ethernet, macs.data(), macs.size());
  store16(ethernet + 12, is_v4 ? kEtherTypeIpv4 : kEtherTypeIpv6);

  std::memset(ip, 0, ip_header + kIcmpHeader);
  const uint32_t icmp_length = kIcmpHeader + quote_length;
  uint64_t pseudo = 0;
  if (is_v4) {
    ip[0] = 0x45;
    store16(ip + 2, static_cast<uint16_t>(ip_header + icmp_length));
    ip[8] = kHopLimit;
    ip[9] = kProtocolIcmp;
    std::memcpy(ip + 12, quote + 16, 4);
    std::memcpy(ip + 16, quote + 12, 4);
    store16(ip + 10, fold(sum_of(ip, kIpv4Header)));
    icmp[0] = 3;
    icmp[1] = 4;
    store16(icmp + 6, mtu);
  } else {
    ip[0] = 0x60;
    store16(ip + 4, static_cast<uint16_t>(icmp_length));
    ip[6] = kProtocolIcmpv6;
    ip[7] = kHopLimit;
    std::memcpy(ip + 8, quote + 24, 16);
    std::memcpy(ip + 24, quote + 8, 16);
    icmp[0] = 2;
    store16(icmp + 6, mtu);
    pseudo = sum_of(ip + 8, 32) + icmp_length + kProtocolIcmpv6;
  }
  store16(icmp + 2, fold(sum_of(icmp, icmp_length, pseudo)));
  return {ethernet, kEthernetHeader + ip_header + icmp_length};
}

}  // namespace sluice::l4
