// Builds frames for tests, layer by layer, with right lengths and checksums unless told otherwise. Written
// apart from the code under test: it shares no header layout and no checksum with it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lb/address.h"

namespace sluice::packet {

using Bytes = std::vector<uint8_t>;

/// `count` bytes of a pattern that shows shifts and cuts.
Bytes payload(size_t count);

IpAddress ip(std::string_view text);
MacAddress mac(std::string_view text);

struct Ethernet {
  std::string destination = "02:00:00:00:00:01";
  std::string source = "02:00:00:00:00:02";
  std::vector<uint32_t> tags = {};  ///< VLAN tags, outermost first: type << 16 | TCI
  std::optional<uint16_t> ether_type = {};
};
/// `packet` is an IP packet, unless ether_type says otherwise. Not padded.
Bytes ethernet(const Ethernet& fields, const Bytes& packet);
/// Pads to the 60 bytes of the shortest frame (without its check sequence).
Bytes padded(Bytes frame, size_t length = 60);

struct Ipv4 {
  std::string source = {};
  std::string destination = {};
  uint8_t protocol = 0;
  uint8_t tos = 0;
  uint8_t ttl = 64;
  uint16_t id = 0;
  bool dont_fragment = true;
  uint16_t fragment = 0;  ///< MF flag (0x2000) and offset in units of 8 bytes
  Bytes options = {};     ///< a multiple of 4 bytes
  std::optional<uint16_t> total_length = {};
  std::optional<uint8_t> version_ihl = {};
  std::optional<uint16_t> checksum = {};
};
Bytes ipv4(const Ipv4& fields, const Bytes& body);

struct Ipv6 {
  std::string source = {};
  std::string destination = {};
  uint8_t next_header = 0;
  uint8_t traffic_class = 0;
  uint32_t flow_label = 0;
  uint8_t hop_limit = 64;
  std::optional<uint16_t> payload_length = {};
  std::optional<uint8_t> version = {};
};
Bytes ipv6(const Ipv6& fields, const Bytes& body);

/// An IPv6 extension header of 8 bytes (plus `more` times 8) before `body`.
Bytes extension(uint8_t next_header, const Bytes& body, uint8_t more = 0);
/// An IPv6 fragment header.
Bytes fragment_header(uint8_t next_header, uint16_t offset_and_flags, const Bytes& body);

inline constexpr uint8_t kSyn = 0x02, kAck = 0x10, kRst = 0x04;
struct Ports {
  std::string source;  ///< addresses, for the checksum
  std::string destination = {};
  uint16_t source_port;
  uint16_t destination_port;
};
Bytes tcp(const Ports& ports, uint8_t flags, const Bytes& body);
Bytes udp(const Ports& ports, const Bytes& body);

/// A whole TCP or UDP packet of the family of the addresses.
Bytes tcp_packet(const Ports& ports, uint8_t flags = kAck, const Bytes& body = payload(20), uint8_t tos = 0);
Bytes udp_packet(const Ports& ports, const Bytes& body = payload(20), uint8_t tos = 0);

/// GRE header and what it carries; protocol type from the packet's version.
Bytes gre(const Bytes& packet, std::optional<uint32_t> key = {});

Bytes icmpv4(uint8_t type, uint8_t code, uint32_t rest, const Bytes& body);
Bytes icmpv6(std::string_view source, std::string_view destination, uint8_t type, uint8_t code, uint32_t rest,
             const Bytes& body);

/// Hex dump, 16 bytes a line, for failure messages.
std::string dump(const Bytes& bytes);

}  // namespace sluice::packet
