// The expected bytes come from the frame builder of the packet tests, which shares nothing with
// lb/outer_header.
#include "lb/outer_header.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/packet/frames.h"

namespace sluice {
namespace {

using packet::Bytes;
using packet::ip;
using packet::mac;

constexpr const char* kOurMac = "02:00:00:00:00:aa";
constexpr const char* kTheirMac = "02:00:00:00:00:bb";
constexpr uint8_t kGuard = 0xa5;

Prefix prefix(std::string_view text) {
  return Prefix::parse(text).value();
}

OuterHeader header(const Tunnel& tunnel, std::string_view source, std::string_view backend) {
  return make_outer_header(tunnel, prefix(source), ip(backend), mac(kOurMac), mac(kTheirMac));
}

/// The frame that `outer` makes of `inner`. Fails if a byte outside of the 64 before the packet changes.
Bytes encapsulated(const OuterHeader& outer, const Bytes& inner, uint64_t flow_hash = 0, uint8_t tos = 0,
                   uint16_t packet_id = 0, bool hardware_checksum = false) {
  constexpr size_t kRoom = 128;
  Bytes memory(kRoom, kGuard);
  memory.insert(memory.end(), inner.begin(), inner.end());
  const uint16_t type = (inner.at(0) >> 4) == 6 ? kEtherTypeIpv6 : kEtherTypeIpv4;
  outer.write_before(memory.data() + kRoom, {type, static_cast<uint16_t>(inner.size()), tos, flow_hash},
                     packet_id, hardware_checksum);
  EXPECT_EQ(Bytes(memory.begin(), memory.begin() + kRoom - 64), Bytes(kRoom - 64, kGuard));
  EXPECT_EQ(Bytes(memory.begin() + kRoom, memory.end()), inner) << "the packet itself must not change";
  return {memory.begin() + kRoom - outer.length, memory.end()};
}

struct Outer {
  std::string source;
  std::string backend;
  std::optional<uint32_t> key = {};
  uint8_t tos = 0;
  uint8_t ttl = 64;
  uint16_t id = 0;
  bool dont_fragment = true;
  uint32_t flow_label = 0;
  std::optional<uint16_t> checksum = {};
};
Bytes expected(const Outer& o, const Bytes& inner) {
  const Bytes body = packet::gre(inner, o.key);
  const Bytes outer = ip(o.backend).is_v4() ? packet::ipv4({.source = o.source,
                                                            .destination = o.backend,
                                                            .protocol = 47,
                                                            .tos = o.tos,
                                                            .ttl = o.ttl,
                                                            .id = o.id,
                                                            .dont_fragment = o.dont_fragment,
                                                            .checksum = o.checksum},
                                                           body)
                                            : packet::ipv6({.source = o.source,
                                                            .destination = o.backend,
                                                            .next_header = 47,
                                                            .traffic_class = o.tos,
                                                            .flow_label = o.flow_label,
                                                            .hop_limit = o.ttl},
                                                           body);
  return packet::ethernet({.destination = kTheirMac, .source = kOurMac}, outer);
}

const Bytes kInner4 = packet::tcp_packet({"198.51.100.7", "203.0.113.10", 40000, 443});
const Bytes kInner6 = packet::udp_packet({"2001:db8:c::7", "2001:db8:f::10", 40000, 443});

TEST(OuterHeader, IsGreOverBothFamiliesForBothFamiliesWithAndWithoutKey) {
  for (const std::optional<uint32_t> gre_key : {std::optional<uint32_t>{}, {0}, {1}, {0xdeadbeef}}) {
    Tunnel tunnel;
    tunnel.gre_key = gre_key;
    for (const Bytes& inner : {kInner4, kInner6}) {
      EXPECT_EQ(encapsulated(header(tunnel, "192.0.2.1", "10.0.1.11"), inner),
                expected({.source = "192.0.2.1", .backend = "10.0.1.11", .key = gre_key}, inner));
      EXPECT_EQ(encapsulated(header(tunnel, "2001:db8:2::1", "2001:db8:1::11"), inner),
                expected({.source = "2001:db8:2::1", .backend = "2001:db8:1::11", .key = gre_key}, inner));
    }
  }
}

TEST(OuterHeader, TheBytesOnTheWireAreThoseOfTheDocument) {
  // Written down by hand: docs/encapsulation.md shows the same.
  Tunnel tunnel;
  tunnel.gre_key = 7;
  const Bytes inner = {0x45, 0, 0, 4};
  const Bytes wire = {
      0x02, 0x00, 0x00, 0x00, 0x00, 0xbb, 0x02, 0x00, 0x00, 0x00, 0x00, 0xaa, 0x08, 0x00,  // Ethernet
      0x45, 0x00, 0x00, 0x20, 0x00, 0x00, 0x40, 0x00, 0x40, 0x2f, 0x6d, 0xa3,              // IPv4 ...
      0xc0, 0x00, 0x02, 0x01, 0x0a, 0x00, 0x01, 0x0b,                                      // ... addresses
      0x20, 0x00, 0x08, 0x00, 0x00, 0x00, 0x00, 0x07,                                      // GRE, key
      0x45, 0x00, 0x00, 0x04,
  };
  EXPECT_EQ(encapsulated(header(tunnel, "192.0.2.1", "10.0.1.11"), inner), wire);
}

TEST(OuterHeader, AddsTheBytesThatMtusAreCalculatedWith) {
  Tunnel plain, keyed;
  keyed.gre_key = 1;
  EXPECT_EQ(header(plain, "192.0.2.1", "10.0.1.11").overhead(), 24);
  EXPECT_EQ(header(keyed, "192.0.2.1", "10.0.1.11").overhead(), 28);
  EXPECT_EQ(header(plain, "2001:db8:2::1", "2001:db8:1::11").overhead(), 44);
  EXPECT_EQ(header(keyed, "2001:db8:2::1", "2001:db8:1::11").overhead(), 48);
}

TEST(OuterHeader, CopiesDscpAndEcn) {
  for (int tos = 0; tos < 256; ++tos) {
    const auto byte = static_cast<uint8_t>(tos);
    EXPECT_EQ(encapsulated(header({}, "192.0.2.1", "10.0.1.11"), kInner4, 0, byte),
              expected({.source = "192.0.2.1", .backend = "10.0.1.11", .tos = byte}, kInner4));
    EXPECT_EQ(encapsulated(header({}, "2001:db8:2::1", "2001:db8:1::11"), kInner4, 0, byte),
              expected({.source = "2001:db8:2::1", .backend = "2001:db8:1::11", .tos = byte}, kInner4));
  }
}

TEST(OuterHeader, AConfiguredDscpReplacesTheInnerOneButNotEcn) {
  for (uint8_t dscp = 0; dscp < 64; ++dscp) {
    Tunnel tunnel;
    tunnel.dscp = dscp;
    for (uint8_t ecn = 0; ecn < 4; ++ecn) {
      const auto inner_tos = static_cast<uint8_t>(0xa8 | ecn),
                 outer_tos = static_cast<uint8_t>(dscp << 2 | ecn);
      EXPECT_EQ(encapsulated(header(tunnel, "192.0.2.1", "10.0.1.11"), kInner6, 0, inner_tos),
                expected({.source = "192.0.2.1", .backend = "10.0.1.11", .tos = outer_tos}, kInner6));
      EXPECT_EQ(
          encapsulated(header(tunnel, "2001:db8:2::1", "2001:db8:1::11"), kInner6, 0, inner_tos),
          expected({.source = "2001:db8:2::1", .backend = "2001:db8:1::11", .tos = outer_tos}, kInner6));
    }
  }
}

TEST(OuterHeader, TtlIsTheTunnels) {
  for (const uint8_t ttl : std::initializer_list<uint8_t>{1, 64, 255}) {
    Tunnel tunnel;
    tunnel.ttl = ttl;
    EXPECT_EQ(encapsulated(header(tunnel, "192.0.2.1", "10.0.1.11"), kInner4),
              expected({.source = "192.0.2.1", .backend = "10.0.1.11", .ttl = ttl}, kInner4));
    EXPECT_EQ(encapsulated(header(tunnel, "2001:db8:2::1", "2001:db8:1::11"), kInner4),
              expected({.source = "2001:db8:2::1", .backend = "2001:db8:1::11", .ttl = ttl}, kInner4));
  }
}

TEST(OuterHeader, TheIpv4IdIsUsedOnlyWithoutDontFragment) {
  Tunnel tunnel;
  EXPECT_EQ(encapsulated(header(tunnel, "192.0.2.1", "10.0.1.11"), kInner4, 0, 0, 0xbeef),
            expected({.source = "192.0.2.1", .backend = "10.0.1.11", .id = 0}, kInner4));
  tunnel.dont_fragment = false;
  for (const uint16_t id : std::initializer_list<uint16_t>{0, 1, 0xbeef, 0xffff}) {
    EXPECT_EQ(
        encapsulated(header(tunnel, "192.0.2.1", "10.0.1.11"), kInner4, 0, 0, id),
        expected({.source = "192.0.2.1", .backend = "10.0.1.11", .id = id, .dont_fragment = false}, kInner4));
  }
}

TEST(OuterHeader, LeavesTheChecksumZeroForHardware) {
  const auto outer = header({}, "192.0.2.0/26", "10.0.1.11");
  const Bytes frame = encapsulated(outer, kInner4, ~uint64_t{0}, 0x2e, 0, true);
  EXPECT_EQ(frame,
            expected({.source = "192.0.2.63", .backend = "10.0.1.11", .tos = 0x2e, .checksum = 0}, kInner4));
}

TEST(OuterHeader, TheFlowLabelIsTheLowTwentyBitsOfTheFlowHash) {
  const auto outer = header({}, "2001:db8:2::1", "2001:db8:1::11");
  EXPECT_EQ(
      encapsulated(outer, kInner6, 0xffffffffffedcba9u, 0xff),
      expected({.source = "2001:db8:2::1", .backend = "2001:db8:1::11", .tos = 0xff, .flow_label = 0xdcba9},
               kInner6));
}

/// What docs/encapsulation.md says of a source prefix: byte i of the last 8 (IPv4: 4) of the address takes
/// its free bits from byte i of the hash, the least significant first.
std::string filled(const Prefix& source, uint64_t flow_hash) {
  IpAddress::Bytes bytes = source.address().bytes();
  const bool is_v4 = source.family() == Family::kIpv4;
  const int first_byte = is_v4 ? 12 : 8;
  const int length = source.length() + (is_v4 ? 96 : 0);
  for (int bit = std::max(length, first_byte * 8); bit < 128; ++bit) {
    const int byte = bit / 8;
    const auto mask = static_cast<uint8_t>(0x80 >> bit % 8);
    const auto hash_byte = static_cast<uint8_t>(flow_hash >> 8 * (byte - first_byte));
    bytes[static_cast<size_t>(byte)] |= hash_byte & mask;
  }
  return (is_v4 ? IpAddress::v4(bytes.data() + 12) : IpAddress::v6(bytes)).to_string();
}

TEST(OuterHeader, FillsASourcePrefixFromTheFlowHash) {
  std::mt19937_64 random(21);
  for (int length = 0; length <= 128; ++length) {
    for (int i = 0; i < 50; ++i) {
      const uint64_t hash = random();
      const auto tos = static_cast<uint8_t>(random());
      if (length <= 32) {
        const Prefix source(ip("192.0.2.165"), length);
        EXPECT_EQ(encapsulated(header({}, source.to_string(), "10.0.1.11"), kInner4, hash, tos),
                  expected({.source = filled(source, hash), .backend = "10.0.1.11", .tos = tos}, kInner4))
            << source.to_string();
      }
      const Prefix source(ip("2001:db8:2:3:a5a5:5a5a:1234:5678"), length);
      EXPECT_EQ(encapsulated(header({}, source.to_string(), "2001:db8:1::11"), kInner4, hash, tos),
                expected({.source = filled(source, hash),
                          .backend = "2001:db8:1::11",
                          .tos = tos,
                          .flow_label = static_cast<uint32_t>(hash & 0xfffff)},
                         kInner4))
          << source.to_string();
    }
  }
}

TEST(OuterHeader, TheChecksumIsRightForAnyAddressesAndLengths) {
  std::mt19937_64 random(22);
  const auto any_address = [&] {
    const uint64_t bits = random();
    // Words of all ones are where end-around carries go wrong.
    const auto byte = [&](int i) { return static_cast<uint8_t>(random() % 4 == 0 ? 0xff : bits >> 8 * i); };
    return IpAddress::v4(byte(0), byte(1), byte(2), byte(3));
  };
  for (int i = 0; i < 20'000; ++i) {
    Tunnel tunnel;
    tunnel.ttl = static_cast<uint8_t>(random());
    tunnel.dont_fragment = random() % 2 != 0;
    const Prefix source(any_address(), static_cast<int>(random() % 33));
    const IpAddress backend = any_address();
    const uint64_t hash = random() % 8 == 0 ? ~uint64_t{0} : random();
    const auto tos = static_cast<uint8_t>(random());
    const auto id = static_cast<uint16_t>(random());
    const auto length = static_cast<uint16_t>(20 + random() % (65535 - 24 - 20 + 1));
    const OuterHeader outer = make_outer_header(tunnel, source, backend, mac(kOurMac), mac(kTheirMac));
    // The packet need not be there for its length to be announced.
    Bytes memory(64);
    outer.write_before(memory.data() + 64, {kEtherTypeIpv4, length, tos, hash}, id, false);
    const uint8_t* outer_ip = memory.data() + outer.ip_offset;
    uint32_t sum = 0;
    for (int at = 0; at < 20; at += 2) sum += static_cast<uint32_t>(outer_ip[at] << 8 | outer_ip[at + 1]);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    ASSERT_EQ(sum, 0xffffu) << source.to_string() << " to " << backend.to_string();
    ASSERT_EQ(outer_ip[2] << 8 | outer_ip[3], length + 24);
  }
}

}  // namespace
}  // namespace sluice
