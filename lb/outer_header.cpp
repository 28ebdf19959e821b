#include "lb/outer_header.h"

#include <algorithm>
#include <bit>

namespace sluice {

namespace {

void put16(uint8_t* at, uint16_t host) {
  const uint16_t raw = Be16(host).raw();
  std::memcpy(at, &raw, sizeof raw);
}

/// The free bits of a source prefix, as a mask over the last 8 bytes of the address in memory order. For IPv4
/// the address is the first 4 of them: 32 low bits of the word.
uint64_t free_bits(const Prefix& source) {
  const int free = std::min(source.address().bits() - source.length(), 64);
  if (free == 0) return 0;
  const int width = source.family() == Family::kIpv4 ? 32 : 64;
  const uint64_t host_mask = ~uint64_t{0} >> (64 - free);
  return width == 32 ? Be32(static_cast<uint32_t>(host_mask)).raw() : Be64(host_mask).raw();
}

/// Sum of the 16-bit words of an IPv4 header.
uint32_t header_sum(const uint8_t* ip) {
  uint32_t sum = 0;
  for (uint32_t i = 0; i < kIpv4Header; i += 2) sum += static_cast<uint32_t>(ip[i] << 8 | ip[i + 1]);
  return sum;
}

}  // namespace

OuterHeader make_outer_header(const Tunnel& tunnel, const Prefix& source, const IpAddress& backend,
                              const MacAddress& source_mac, const MacAddress& next_hop_mac) {
  OuterHeader header;
  header.is_ipv4 = backend.is_v4();
  const uint32_t ip_length = header.is_ipv4 ? kIpv4Header : kIpv6Header;
  const uint32_t gre_length = tunnel.gre_key ? 8 : 4;
  header.length = static_cast<uint16_t>(kEthernetHeader + ip_length + gre_length);
  header.ip_offset = static_cast<uint16_t>(header.bytes.size() - ip_length - gre_length);
  header.source_mask = free_bits(source);
  header.unique_ids = !tunnel.dont_fragment;
  if (tunnel.dscp) {
    header.dscp_mask = 0;
    header.dscp_bits = static_cast<uint8_t>(*tunnel.dscp << 2);
  }

  uint8_t* ip = header.bytes.data() + header.ip_offset;
  uint8_t* ethernet = ip - kEthernetHeader;
  std::memcpy(ethernet, next_hop_mac.bytes().data(), 6);
  std::memcpy(ethernet + 6, source_mac.bytes().data(), 6);
  put16(ethernet + 12, header.is_ipv4 ? kEtherTypeIpv4 : kEtherTypeIpv6);

  if (header.is_ipv4) {
    ip[0] = 0x45;
    put16(ip + 6, tunnel.dont_fragment ? 0x4000 : 0);
    ip[8] = tunnel.ttl;
    ip[9] = kProtocolGre;
    std::memcpy(ip + 12, source.address().v4_bytes(), 4);
    std::memcpy(ip + 16, backend.v4_bytes(), 4);
    header.checksum_base = header_sum(ip);
  } else {
    ip[6] = kProtocolGre;
    ip[7] = tunnel.ttl;
    std::memcpy(ip + 8, source.address().bytes().data(), 16);
    std::memcpy(ip + 24, backend.bytes().data(), 16);
  }

  uint8_t* gre = ip + ip_length;
  if (tunnel.gre_key) {
    gre[0] = 0x20;  // K bit
    const uint32_t key = Be32(*tunnel.gre_key).raw();
    std::memcpy(gre + 4, &key, sizeof key);
  }
  return header;
}

}  // namespace sluice
