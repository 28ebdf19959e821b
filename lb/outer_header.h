// The outer header of a tunnelled packet: built once per backend, copied and fixed up per packet.
//
// Ethernet + IPv4 or IPv6 + GRE (RFC 2784, key of RFC 2890). The bytes lie right-aligned in one cache line,
// so that encapsulation is one 64-byte copy that ends where the inner packet begins.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "lb/address.h"
#include "lb/byte_order.h"
#include "lb/model.h"

namespace sluice {

inline constexpr uint16_t kEtherTypeIpv4 = 0x0800;
inline constexpr uint16_t kEtherTypeIpv6 = 0x86dd;
inline constexpr uint32_t kEthernetHeader = 14;
inline constexpr uint32_t kIpv4Header = 20;
inline constexpr uint32_t kIpv6Header = 40;
inline constexpr uint8_t kProtocolGre = 47;

/// What the outer header needs of the inner packet.
struct InnerPacket {
  uint16_t ether_type;    ///< kEtherTypeIpv4 or kEtherTypeIpv6: GRE's protocol type
  uint16_t length;        ///< IP packet length in bytes
  uint8_t traffic_class;  ///< DSCP and ECN
  uint64_t flow_hash;
};

/// Template and the constants of its fix-ups.
struct OuterHeader {
  std::array<uint8_t, 64> bytes{};  ///< the header is the last `length` bytes
  uint64_t source_mask = 0;         ///< bits of the outer source (its last 8 bytes, raw) filled from the hash
  uint32_t checksum_base = 0;       ///< unfolded IPv4 header sum with tos, length, id and checksum zero
  uint16_t length = 0;              ///< Ethernet + IP + GRE, in bytes
  uint16_t ip_offset = 0;           ///< of the outer IP header in `bytes`
  uint8_t dscp_mask = 0xfc;         ///< 0xfc: DSCP copied from the inner header; 0: dscp_bits instead
  uint8_t dscp_bits = 0;            ///< DSCP << 2
  bool is_ipv4 = true;
  bool unique_ids = false;  ///< DF is off: the IPv4 id must differ (RFC 6864)

  /// Bytes that encapsulation adds to the IP packet: outer IP + GRE.
  uint16_t overhead() const { return static_cast<uint16_t>(length - kEthernetHeader); }

  /// Writes the outer header of one packet so that it ends at `inner`; the 64 bytes before `inner` are
  /// overwritten. `packet_id` is the IPv4 id where DF is off. `hardware_checksum`: the IPv4 checksum is left
  /// for the NIC. Source: RFC 2784 section 2, RFC 2890 section 2, RFC 6040 section 4.1 (ECN copied in normal
  /// mode), RFC 6438 (IPv6 flow label from the flow hash).
  [[gnu::always_inline]] void write_before(uint8_t* inner, const InnerPacket& packet, uint16_t packet_id,
                                           bool hardware_checksum) const;
};
static_assert(sizeof(OuterHeader) == 88, "leaves 40 bytes of two cache lines to its owner");

/// The header towards one backend. `source` is the tunnel source of the backend's family: an address, or a
/// prefix whose free bits (at most the last 64) are filled per flow. `gre_key` from the tunnel.
OuterHeader make_outer_header(const Tunnel& tunnel, const Prefix& source, const IpAddress& backend,
                              const MacAddress& source_mac, const MacAddress& next_hop_mac);

inline void OuterHeader::write_before(uint8_t* inner, const InnerPacket& packet, uint16_t packet_id,
                                      bool hardware_checksum) const {
  uint8_t* start = inner - bytes.size();
  std::memcpy(start, bytes.data(), bytes.size());
  uint8_t* ip = start + ip_offset;

  const uint8_t traffic_class = static_cast<uint8_t>((packet.traffic_class & (dscp_mask | 0x03)) | dscp_bits);
  const auto store16 = [](uint8_t* at, uint16_t host) {
    const uint16_t raw = Be16(host).raw();
    std::memcpy(at, &raw, sizeof raw);
  };

  if (is_ipv4) {
    const uint16_t total_length = static_cast<uint16_t>(packet.length + overhead());
    const uint16_t id = unique_ids ? packet_id : 0;
    const uint32_t source_bits = static_cast<uint32_t>(packet.flow_hash & source_mask);
    ip[1] = traffic_class;
    store16(ip + 2, total_length);
    store16(ip + 4, id);
    // From the template: a load of bytes just stored across a cache line would wait for that store.
    uint32_t source = 0;
    std::memcpy(&source, bytes.data() + ip_offset + 12, sizeof source);
    source |= source_bits;
    std::memcpy(ip + 12, &source, sizeof source);
    if (!hardware_checksum) {
      // RFC 1624: the sum is linear, so only what differs from the template is added.
      const uint32_t source_host = Be32::from_raw(source_bits).host();
      uint32_t sum =
          checksum_base + traffic_class + total_length + id + (source_host >> 16) + (source_host & 0xffff);
      sum = (sum & 0xffff) + (sum >> 16);
      sum += sum >> 16;
      store16(ip + 10, static_cast<uint16_t>(~sum));
    }
  } else {
    const uint32_t flow_label = static_cast<uint32_t>(packet.flow_hash) & 0xfffff;
    const uint32_t first = Be32(6u << 28 | uint32_t{traffic_class} << 20 | flow_label).raw();
    std::memcpy(ip, &first, sizeof first);
    store16(ip + 4, static_cast<uint16_t>(packet.length + overhead() - kIpv6Header));
    uint64_t source = 0;
    std::memcpy(&source, bytes.data() + ip_offset + 16, sizeof source);
    source |= packet.flow_hash & source_mask;
    std::memcpy(ip + 16, &source, sizeof source);
  }
  store16(ip + (is_ipv4 ? kIpv4Header : kIpv6Header) + 2, packet.ether_type);
}

}  // namespace sluice
