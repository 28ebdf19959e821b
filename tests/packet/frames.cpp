#include "tests/packet/frames.h"

#include <fmt/format.h>

namespace sluice::packet {

namespace {

void put8(Bytes& out, uint32_t value) {
  out.push_back(static_cast<uint8_t>(value));
}
void put16(Bytes& out, uint32_t value) {
  put8(out, value >> 8);
  put8(out, value);
}
void put32(Bytes& out, uint32_t value) {
  put16(out, value >> 16);
  put16(out, value);
}
void put(Bytes& out, const Bytes& bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}
void put_address(Bytes& out, std::string_view text) {
  const IpAddress address = ip(text);
  if (address.is_v4()) {
    out.insert(out.end(), address.v4_bytes(), address.v4_bytes() + 4);
  } else {
    out.insert(out.end(), address.bytes().begin(), address.bytes().end());
  }
}
void patch16(Bytes& out, size_t at, uint16_t value) {
  out[at] = static_cast<uint8_t>(value >> 8);
  out[at + 1] = static_cast<uint8_t>(value);
}

uint16_t checksum(const Bytes& bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); i += 2) {
    sum += static_cast<uint32_t>(bytes[i] << 8 | (i + 1 < bytes.size() ? bytes[i + 1] : 0));
    if (sum > 0xffff) sum -= 0xffff;  // end-around carry
  }
  return static_cast<uint16_t>(~sum);
}

uint16_t transport_checksum(std::string_view source, std::string_view destination, uint8_t protocol,
                            const Bytes& segment) {
  Bytes pseudo;
  put_address(pseudo, source);
  put_address(pseudo, destination);
  put32(pseudo, static_cast<uint32_t>(segment.size()));
  put32(pseudo, protocol);
  put(pseudo, segment);
  return checksum(pseudo);
}

Bytes packet_of(const Ports& ports, uint8_t protocol, uint8_t tos, const Bytes& segment) {
  if (ip(ports.source).is_v4()) {
    return ipv4({.source = ports.source, .destination = ports.destination, .protocol = protocol, .tos = tos},
                segment);
  }
  return ipv6({.source = ports.source,
               .destination = ports.destination,
               .next_header = protocol,
               .traffic_class = tos},
              segment);
}

}  // namespace

Bytes payload(size_t count) {
  Bytes bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<uint8_t>('A' + i % 53);
  return bytes;
}

IpAddress ip(std::string_view text) {
  return IpAddress::parse(text).value();
}
MacAddress mac(std::string_view text) {
  return MacAddress::parse(text).value();
}

Bytes ethernet(const Ethernet& fields, const Bytes& packet) {
  Bytes out;
  for (const std::string* address : {&fields.destination, &fields.source}) {
    const auto bytes = mac(*address).bytes();
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
  for (const uint32_t tag : fields.tags) put32(out, tag);
  put16(out, fields.ether_type.value_or((packet.at(0) >> 4) == 6 ? 0x86dd : 0x0800));
  put(out, packet);
  return out;
}

Bytes padded(Bytes frame, size_t length) {
  if (frame.size() < length) frame.resize(length, 0xee);
  return frame;
}

Bytes ipv4(const Ipv4& fields, const Bytes& body) {
  Bytes out;
  put8(out, fields.version_ihl.value_or(static_cast<uint8_t>(0x45 + fields.options.size() / 4)));
  put8(out, fields.tos);
  put16(out, fields.total_length.value_or(static_cast<uint16_t>(20 + fields.options.size() + body.size())));
  put16(out, fields.id);
  put16(out, (fields.dont_fragment ? 0x4000u : 0) | fields.fragment);
  put8(out, fields.ttl);
  put8(out, fields.protocol);
  put16(out, 0);
  put_address(out, fields.source);
  put_address(out, fields.destination);
  put(out, fields.options);
  patch16(out, 10, fields.checksum.value_or(checksum(out)));
  put(out, body);
  return out;
}

Bytes ipv6(const Ipv6& fields, const Bytes& body) {
  Bytes out;
  put32(out, uint32_t{fields.version.value_or(6)} << 28 | uint32_t{fields.traffic_class} << 20 |
                 fields.flow_label);
  put16(out, fields.payload_length.value_or(static_cast<uint16_t>(body.size())));
  put8(out, fields.next_header);
  put8(out, fields.hop_limit);
  put_address(out, fields.source);
  put_address(out, fields.destination);
  put(out, body);
  return out;
}

Bytes extension(uint8_t next_header, const Bytes& body, uint8_t more) {
  Bytes out{next_header, more};
  out.resize(8u * (more + 1u), 0);
  put(out, body);
  return out;
}

Bytes fragment_header(uint8_t next_header, uint16_t offset_and_flags, const Bytes& body) {
  Bytes out{next_header, 0};
  put16(out, offset_and_flags);
  put32(out, 0x12345678);
  put(out, body);
  return out;
}

Bytes tcp(const Ports& ports, uint8_t flags, const Bytes& body) {
  Bytes out;
  put16(out, ports.source_port);
  put16(out, ports.destination_port);
  put32(out, 1000);
  put32(out, 2000);
  put8(out, 5 << 4);
  put8(out, flags);
  put16(out, 65535);
  put32(out, 0);
  put(out, body);
  patch16(out, 16, transport_checksum(ports.source, ports.destination, 6, out));
  return out;
}

Bytes udp(const Ports& ports, const Bytes& body) {
  Bytes out;
  put16(out, ports.source_port);
  put16(out, ports.destination_port);
  put16(out, static_cast<uint32_t>(8 + body.size()));
  put16(out, 0);
  put(out, body);
  patch16(out, 6, transport_checksum(ports.source, ports.destination, 17, out));
  return out;
}

Bytes tcp_packet(const Ports& ports, uint8_t flags, const Bytes& body, uint8_t tos) {
  return packet_of(ports, 6, tos, tcp(ports, flags, body));
}

Bytes udp_packet(const Ports& ports, const Bytes& body, uint8_t tos) {
  return packet_of(ports, 17, tos, udp(ports, body));
}

Bytes gre(const Bytes& packet, std::optional<uint32_t> key) {
  Bytes out;
  put16(out, key ? 0x2000 : 0);
  put16(out, (packet.at(0) >> 4) == 6 ? 0x86dd : 0x0800);
  if (key) put32(out, *key);
  put(out, packet);
  return out;
}

Bytes icmpv4(uint8_t type, uint8_t code, uint32_t rest, const Bytes& body) {
  Bytes out{type, code, 0, 0};
  put32(out, rest);
  put(out, body);
  patch16(out, 2, checksum(out));
  return out;
}

Bytes icmpv6(std::string_view source, std::string_view destination, uint8_t type, uint8_t code, uint32_t rest,
             const Bytes& body) {
  Bytes out{type, code, 0, 0};
  put32(out, rest);
  put(out, body);
  patch16(out, 2, transport_checksum(source, destination, 58, out));
  return out;
}

std::string dump(const Bytes& bytes) {
  std::string text = fmt::format("{} bytes", bytes.size());
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i % 16 == 0) text += fmt::format("\n  {:04x} ", i);
    text += fmt::format(" {:02x}", bytes[i]);
  }
  return text;
}

}  // namespace sluice::packet
