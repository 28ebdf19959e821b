// Frames for tests of BPF programs, put together from headers: ethernet(…) + ipv4({…}, payload).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lb/address.h"

namespace sluice::test {

using Bytes = std::vector<uint8_t>;

inline constexpr uint16_t kIpv4Type = 0x0800, kIpv6Type = 0x86dd, kVlanType = 0x8100,
                          kServiceVlanType = 0x88a8;
inline constexpr uint8_t kTcp = 6, kGre = 47, kIcmpv6 = 58;

inline Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

inline Bytes be16(unsigned value) {
  return {static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)};
}

inline Bytes be32(uint32_t value) {
  return be16(value >> 16) + be16(value & 0xffff);
}

inline Bytes address_bytes(const std::string& text) {
  IpAddress address = IpAddress::parse(text).value();
  if (address.is_v4()) {
    return {address.v4_bytes(), address.v4_bytes() + 4};
  }
  return {address.bytes().begin(), address.bytes().end()};
}

inline Bytes ethernet(uint16_t type) {
  return Bytes{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2} + be16(type);
}

inline Bytes vlan(uint16_t type) {
  return be16(7) + be16(type);
}

struct Ipv4 {
  std::string from = "198.51.100.1";
  std::string to{};
  uint8_t protocol = kTcp;
  uint8_t tos = 0;
  uint16_t fragment = 0;                   ///< flags and offset
  size_t options = 0;                      ///< bytes of options, a multiple of 4
  std::optional<unsigned> total_length{};  ///< absent: the truth
};

inline uint16_t internet_checksum(const Bytes& bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) {
    sum += static_cast<uint32_t>(bytes[i] << 8 | bytes[i + 1]);
  }
  while (sum >> 16) {
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<uint16_t>(~sum);
}

inline Bytes ipv4(const Ipv4& ip, const Bytes& payload) {
  size_t header_size = 20 + ip.options;
  unsigned total = ip.total_length.value_or(static_cast<unsigned>(header_size + payload.size()));
  Bytes header = Bytes{static_cast<uint8_t>(0x40 | header_size / 4), ip.tos} + be16(total) + be16(0) +
                 be16(ip.fragment) + Bytes{64, ip.protocol, 0, 0} + address_bytes(ip.from) +
                 address_bytes(ip.to) + Bytes(ip.options, 1);
  Bytes checksum = be16(internet_checksum(header));
  header[10] = checksum[0];
  header[11] = checksum[1];
  return header + payload;
}

struct Ipv6 {
  std::string from = "2001:db8::99";
  std::string to{};
  uint8_t next_header = kTcp;
  uint8_t traffic_class = 0;
  std::optional<unsigned> payload_length{};  ///< absent: the truth
};

inline Bytes ipv6(const Ipv6& ip, const Bytes& payload) {
  unsigned length = ip.payload_length.value_or(static_cast<unsigned>(payload.size()));
  return be32(0x60000000u | static_cast<uint32_t>(ip.traffic_class) << 20) + be16(length) +
         Bytes{ip.next_header, 64} + address_bytes(ip.from) + address_bytes(ip.to) + payload;
}

inline Bytes gre(uint16_t type, uint16_t flags = 0) {
  return be16(flags) + be16(type);
}

/// With an RFC 2890 key.
inline Bytes gre_with_key(uint16_t type, uint32_t key) {
  return gre(type, 0x2000) + be32(key);
}

}  // namespace sluice::test
