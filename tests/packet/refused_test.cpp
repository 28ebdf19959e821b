// What is not sent on, and the name under which it is counted.
#include <gtest/gtest.h>

#include "tests/packet/frames.h"
#include "tests/packet/rig.h"
#include "tests/packet/site.h"

namespace sluice::packet {
namespace {

struct Refused {
  std::string description;
  Bytes frame;
  DropReason reason;
};

/// A frame cut to its first `length` bytes.
Bytes cut(Bytes frame, size_t length) {
  frame.resize(length);
  return frame;
}

Bytes tcp4() {
  return tcp(ports4(80), kAck, payload(20));
}
Bytes ipv4_to_vip(const Ipv4& fields, const Bytes& body) {
  Ipv4 all = fields;
  all.source = kClient4;
  all.destination = kVip4;
  return ethernet({}, ipv4(all, body));
}
Bytes ipv6_to_vip(uint8_t next_header, const Bytes& body, std::optional<uint16_t> length = {}) {
  return ethernet(
      {},
      ipv6({.source = kClient6, .destination = kVip6, .next_header = next_header, .payload_length = length},
           body));
}

std::vector<Refused> refused() {
  const Bytes good4 = ethernet({}, tcp_packet(ports4(80)));
  const Bytes good6 = ethernet({}, tcp_packet(ports6(90)));
  std::vector<Refused> all = {
      {"ARP", ethernet({.ether_type = 0x0806}, payload(28)), DropReason::kNotForVip},
      {"a VLAN-tagged ARP", ethernet({.tags = {0x81000001}, .ether_type = 0x0806}, payload(28)),
       DropReason::kNotForVip},
      {"three VLAN tags", ethernet({.tags = {0x81000001, 0x81000002, 0x81000003}}, tcp_packet(ports4(80))),
       DropReason::kNotForVip},
      {"LLDP", ethernet({.ether_type = 0x88cc}, payload(60)), DropReason::kNotForVip},
      {"TCP to a stranger", ethernet({}, tcp_packet({kClient4, "203.0.113.99", 40000, 80})),
       DropReason::kNotForVip},
      {"UDP over IPv6 to a stranger", ethernet({}, udp_packet({kClient6, "2001:db8::99", 40000, 80})),
       DropReason::kNotForVip},
      {"a fragment to a stranger",
       ethernet({}, ipv4({.source = kClient4, .destination = "203.0.113.99", .protocol = 6, .fragment = 100},
                         payload(40))),
       DropReason::kNotForVip},
      {"IPv4-mapped IPv6 is not the IPv4 VIP",
       ethernet({}, tcp_packet({kClient6, "::ffff:203.0.113.10", 40000, 80})), DropReason::kNotForVip},
      {"port without a VIP", ethernet({}, tcp_packet(ports4(81))), DropReason::kUnknownService},
      {"port without a VIP, IPv6", ethernet({}, udp_packet(ports6(81))), DropReason::kUnknownService},
      {"SCTP to a VIP", ipv4_to_vip({.protocol = 132}, payload(40)), DropReason::kUnsupportedProtocol},
      {"GRE to a VIP", ipv4_to_vip({.protocol = 47}, gre(tcp_packet(ports4(80)))),
       DropReason::kUnsupportedProtocol},
      {"ICMP in IPv6", ipv6_to_vip(1, payload(40)), DropReason::kUnsupportedProtocol},
      {"no next header", ipv6_to_vip(59, payload(40)), DropReason::kUnsupportedProtocol},
      {"ESP hides the ports", ipv6_to_vip(50, payload(40)), DropReason::kUnsupportedProtocol},

      {"first fragment", ipv4_to_vip({.protocol = 6, .fragment = 0x2000}, tcp4()), DropReason::kFragment},
      {"later fragment", ipv4_to_vip({.protocol = 6, .fragment = 185}, payload(40)), DropReason::kFragment},
      {"IPv6 first fragment", ipv6_to_vip(44, fragment_header(6, 1, tcp4())), DropReason::kFragment},
      {"IPv6 later fragment", ipv6_to_vip(44, fragment_header(6, 1448, payload(40))), DropReason::kFragment},

      {"IPv4 checksum off by one", ipv4_to_vip({.protocol = 6, .checksum = 0x1234}, tcp4()),
       DropReason::kBadIpChecksum},
      {"IHL 4", ipv4_to_vip({.protocol = 6, .version_ihl = 0x44}, tcp4()), DropReason::kBadIpHeader},
      {"version 5 in an IPv4 frame", ipv4_to_vip({.protocol = 6, .version_ihl = 0x55}, tcp4()),
       DropReason::kBadIpHeader},
      {"IPv6 version 4",
       ethernet({.ether_type = 0x86dd},
                ipv6({.source = kClient6, .destination = kVip6, .next_header = 6, .version = 4},
                     tcp(ports6(90), kAck, {}))),
       DropReason::kBadIpHeader},
      {"total length below the header", ipv4_to_vip({.protocol = 6, .total_length = 19}, tcp4()),
       DropReason::kBadIpHeader},
      {"total length above the frame", ipv4_to_vip({.protocol = 6, .total_length = 61}, tcp4()),
       DropReason::kTruncated},
      {"total length 65535", ipv4_to_vip({.protocol = 6, .total_length = 65535}, tcp4()),
       DropReason::kTruncated},
      {"IHL 15 without the options", ipv4_to_vip({.protocol = 6, .version_ihl = 0x4f}, payload(30)),
       DropReason::kBadIpHeader},
      {"IPv6 length above the frame", ipv6_to_vip(6, tcp(ports6(90), kAck, {}), 21), DropReason::kTruncated},
      {"IPv6 length 65535", ipv6_to_vip(6, tcp(ports6(90), kAck, {}), 65535), DropReason::kBadIpHeader},
      {"IP length ends inside the TCP header", ipv4_to_vip({.protocol = 6, .total_length = 39}, tcp4()),
       DropReason::kTruncated},
      {"IP length ends inside the UDP header",
       ipv4_to_vip({.protocol = 17, .total_length = 27}, udp(ports4(80), {})), DropReason::kTruncated},
      {"IPv6 length ends inside the TCP header", ipv6_to_vip(6, tcp(ports6(90), kAck, {}), 19),
       DropReason::kTruncated},
      {"extension header longer than the packet", ipv6_to_vip(0, extension(6, payload(8), 200)),
       DropReason::kTruncated},
      {"extension header behind the end", ipv6_to_vip(0, {}), DropReason::kTruncated},
      {"nine extension headers",
       ipv6_to_vip(60,
                   [] {
                     Bytes body = tcp(ports6(90), kAck, {});
                     uint8_t next = 6;
                     for (int i = 0; i < 9; ++i) {
                       body = extension(next, body);
                       next = 60;
                     }
                     return body;
                   }()),
       DropReason::kExtensionHeaders},
      {"VLAN tag without the rest", cut(ethernet({.tags = {0x81000001}}, tcp_packet(ports4(80))), 15),
       DropReason::kTruncated},
      {"an empty frame", {}, DropReason::kTruncated},
      {"ICMP of 7 bytes", ipv4_to_vip({.protocol = 1}, payload(7)), DropReason::kTruncated},
  };
  // Every cut of a good frame is refused as truncated, whatever the cut hits.
  for (size_t length = 0; length < good4.size(); ++length) {
    all.push_back({"IPv4 cut to " + std::to_string(length), cut(good4, length), DropReason::kTruncated});
  }
  for (size_t length = 0; length < good6.size(); ++length) {
    all.push_back({"IPv6 cut to " + std::to_string(length), cut(good6, length), DropReason::kTruncated});
  }
  return all;
}

TEST(Refused, HasANameAndIsNotSent) {
  Rig rig(services());
  for (const Refused& test : refused()) {
    const Fate fate = rig.run(test.frame);
    ASSERT_TRUE(fate.dropped) << test.description << " was sent: " << dump(fate.frame);
    EXPECT_EQ(drop_reason_name(*fate.dropped), drop_reason_name(test.reason)) << test.description;
    EXPECT_TRUE(fate.frame.empty()) << test.description;
  }
  EXPECT_EQ(rig.flows().occupied(), 0u) << "nothing refused may take a place in the flow table";
}

TEST(Refused, PoolWithoutBackends) {
  for (const auto& empty : {std::vector<Backend>{}, {backend("b", kBackend4, 0)}}) {
    Services none = services();
    none.pools[0].backends = empty;
    Rig rig(none);
    EXPECT_EQ(rig.run(ethernet({}, tcp_packet(ports4(80)))).dropped, DropReason::kNoBackend);
    EXPECT_EQ(rig.run(ethernet({}, udp_packet(ports6(80)))).dropped, DropReason::kNoBackend);
    EXPECT_FALSE(rig.run(ethernet({}, tcp_packet(ports4(90)))).dropped) << "the other pool goes on";
  }
}

TEST(Refused, BackendWithoutNextHop) {
  Rig rig(services());
  rig.unresolve(kBackend4);
  rig.reload(services());
  EXPECT_EQ(rig.run(ethernet({}, tcp_packet(ports4(80)))).dropped, DropReason::kBackendUnresolved);
}

TEST(DropReasons, AllHaveAnUniqueNameAndHelp) {
  std::set<std::string_view> names;
  for (const auto& text : kDropReasonTexts) {
    EXPECT_FALSE(text.name.empty());
    EXPECT_FALSE(text.help.empty());
    names.insert(text.name);
  }
  EXPECT_EQ(names.size(), kDropReasons);
}

}  // namespace
}  // namespace sluice::packet
