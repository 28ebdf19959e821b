// Frames in, frames out: all tunnels, what is copied outward, and that the inner packet is left alone.
#include <gtest/gtest.h>
#include <rte_mbuf.h>

#include "tests/packet/frames.h"
#include "tests/packet/rig.h"
#include "tests/packet/site.h"

namespace sluice::packet {
namespace {

/// The outer headers that RFC 2784 and our defaults ask for.
Bytes tunnelled4(const Bytes& inner, uint8_t tos = 0, std::optional<uint32_t> key = {},
                 const std::string& source = kTunnel4) {
  return ethernet(
      {.destination = kRouterMac, .source = kNodeMac},
      ipv4({.source = source, .destination = kBackend4, .protocol = 47, .tos = tos}, gre(inner, key)));
}
/// The flow label is taken from the frame that came out: it may be anything, but see FlowLabel tests.
Bytes tunnelled6(const Bytes& inner, const Bytes& like, uint8_t traffic_class = 0,
                 std::optional<uint32_t> key = {}) {
  const uint32_t label =
      like.size() < 18 ? 0 : (static_cast<uint32_t>(like[15]) & 0x0f) << 16 | like[16] << 8 | like[17];
  return ethernet({.destination = kRouterMac, .source = kNodeMac}, ipv6({.source = kTunnel6,
                                                                         .destination = kBackend6,
                                                                         .next_header = 47,
                                                                         .traffic_class = traffic_class,
                                                                         .flow_label = label},
                                                                        gre(inner, key)));
}

struct Case {
  std::string description;
  Bytes inner;  ///< the IP packet that a client sent
  bool outer_is_ipv4;
};

std::vector<Case> cases() {
  return {
      {"TCP over IPv4 in IPv4", tcp_packet(ports4(80)), true},
      {"UDP over IPv4 in IPv4", udp_packet(ports4(80)), true},
      {"TCP over IPv4 in IPv6", tcp_packet(ports4(90)), false},
      {"UDP over IPv4 in IPv6", udp_packet(ports4(90)), false},
      {"TCP over IPv6 in IPv4", tcp_packet(ports6(80)), true},
      {"UDP over IPv6 in IPv4", udp_packet(ports6(80)), true},
      {"TCP over IPv6 in IPv6", tcp_packet(ports6(90)), false},
      {"UDP over IPv6 in IPv6", udp_packet(ports6(90)), false},
      {"an empty UDP datagram", udp_packet(ports4(80), {}), true},
      {"odd length", udp_packet(ports4(80), payload(21)), true},
      {"a full-size packet", tcp_packet(ports4(80), kAck, payload(1400)), true},
      {"IPv4 options",
       ipv4({.source = kClient4,
             .destination = kVip4,
             .protocol = 6,
             .options = {0x94, 4, 0, 0, 1, 1, 1, 0}},  // router alert, no-ops
            tcp({kClient4, kVip4, 40000, 80}, kAck, payload(9))),
       true},
      {"a hop-by-hop header",
       ipv6({.source = kClient6, .destination = kVip6, .next_header = 0},
            extension(6, tcp(ports6(90), kAck, payload(9)))),
       false},
      {"destination options and routing headers",
       ipv6({.source = kClient6, .destination = kVip6, .next_header = 60},
            extension(43, extension(17, udp(ports6(80), payload(30))), 2)),
       true},
      {"an atomic fragment (RFC 6946)",
       ipv6({.source = kClient6, .destination = kVip6, .next_header = 44},
            fragment_header(6, 0, tcp(ports6(90), kAck, payload(9)))),
       false},
      {"a wrong TCP checksum is the backend's to find",
       [] {
         Bytes packet = tcp_packet(ports4(80));
         packet[20 + 16] ^= 0xff;
         return packet;
       }(),
       true},
      {"inner TTL 1",
       ipv4({.source = kClient4, .destination = kVip4, .protocol = 17, .ttl = 1},
            udp({kClient4, kVip4, 40000, 80}, payload(4))),
       true},
  };
}

void expect_tunnelled(const Case& test, const Fate& fate, std::optional<uint32_t> key = {}) {
  ASSERT_FALSE(fate.dropped) << test.description << ": " << drop_reason_name(*fate.dropped);
  const Bytes expected =
      test.outer_is_ipv4 ? tunnelled4(test.inner, 0, key) : tunnelled6(test.inner, fate.frame, 0, key);
  EXPECT_EQ(fate.frame, expected) << test.description << "\ngot " << dump(fate.frame) << "\nwanted "
                                  << dump(expected);
}

TEST(Encapsulation, PutsGreAroundTheUntouchedPacket) {
  Rig rig(services());
  for (const Case& test : cases()) expect_tunnelled(test, rig.run(ethernet({}, test.inner)));
}

TEST(Encapsulation, CarriesTheKey) {
  Services keyed = services();
  keyed.tunnel.gre_key = 0xdeadbeef;
  Rig rig(keyed);
  for (const Case& test : cases()) expect_tunnelled(test, rig.run(ethernet({}, test.inner)), 0xdeadbeef);
}

TEST(Encapsulation, TakesVlanTagsOff) {
  Rig rig(services());
  for (const auto& tags : std::vector<std::vector<uint32_t>>{{0x81000064}, {0x88a80001, 0x81000064}}) {
    for (const Case& test : cases()) expect_tunnelled(test, rig.run(ethernet({.tags = tags}, test.inner)));
  }
}

TEST(Encapsulation, DropsThePaddingOfShortFrames) {
  Rig rig(services());
  for (const Case& test : cases()) expect_tunnelled(test, rig.run(padded(ethernet({}, test.inner))));
  for (const Case& test : cases()) expect_tunnelled(test, rig.run(padded(ethernet({}, test.inner), 1600)));
}

TEST(Encapsulation, CopiesDscpAndEcnOutward) {
  Rig rig(services());
  for (int tos = 0; tos < 256; ++tos) {
    const Bytes four = tcp_packet(ports4(80), kAck, payload(20), static_cast<uint8_t>(tos));
    EXPECT_EQ(rig.run(ethernet({}, four)).frame, tunnelled4(four, static_cast<uint8_t>(tos))) << tos;
    const Bytes six = tcp_packet(ports6(90), kAck, payload(20), static_cast<uint8_t>(tos));
    const Fate fate = rig.run(ethernet({}, six));
    EXPECT_EQ(fate.frame, tunnelled6(six, fate.frame, static_cast<uint8_t>(tos))) << tos;
    const Bytes mixed = udp_packet(ports6(80), payload(3), static_cast<uint8_t>(tos));
    EXPECT_EQ(rig.run(ethernet({}, mixed)).frame, tunnelled4(mixed, static_cast<uint8_t>(tos))) << tos;
  }
}

TEST(Encapsulation, AConfiguredDscpReplacesTheInnerOneButNotEcn) {
  Services marked = services();
  marked.tunnel.dscp = 46;
  Rig rig(marked);
  const Bytes inner = tcp_packet(ports4(80), kAck, payload(20), 0x28 | 0x03);  // AF11, CE
  EXPECT_EQ(rig.run(ethernet({}, inner)).frame, tunnelled4(inner, 46 << 2 | 0x03));
}

TEST(Encapsulation, SetsTtlAndDontFragmentAsConfigured) {
  Services other = services();
  other.tunnel.ttl = 17;
  other.tunnel.dont_fragment = false;
  Rig rig(other);
  const Bytes inner = tcp_packet(ports4(80));
  std::vector<uint16_t> ids;
  for (int i = 0; i < 3; ++i) {
    const Fate fate = rig.run(ethernet({}, inner));
    const auto id = static_cast<uint16_t>(fate.frame.at(18) << 8 | fate.frame.at(19));
    ids.push_back(id);
    EXPECT_EQ(fate.frame,
              ethernet({.destination = kRouterMac, .source = kNodeMac}, ipv4({.source = kTunnel4,
                                                                              .destination = kBackend4,
                                                                              .protocol = 47,
                                                                              .ttl = 17,
                                                                              .id = id,
                                                                              .dont_fragment = false},
                                                                             gre(inner))));
  }
  // RFC 6864: without DF every packet has an id of its own.
  EXPECT_NE(ids[0], ids[1]);
  EXPECT_NE(ids[1], ids[2]);
}

TEST(Encapsulation, LeavesTheChecksumToHardwareThatOffersIt) {
  Rig rig(services(), {{.hardware_ipv4_checksum = true, .multi_segment = false}, {}});
  const Bytes inner = tcp_packet(ports4(80));
  const Fate fate = rig.run(ethernet({}, inner));
  EXPECT_EQ(fate.offloads, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM);
  EXPECT_EQ(fate.frame,
            ethernet({.destination = kRouterMac, .source = kNodeMac},
                     ipv4({.source = kTunnel4, .destination = kBackend4, .protocol = 47, .checksum = 0},
                          gre(inner))));
  EXPECT_EQ(rig.run(ethernet({}, tcp_packet(ports6(90)))).offloads, 0u) << "IPv6 has no header checksum";
}

/// Outer source of a sent frame.
IpAddress outer_source(const Bytes& frame) {
  if (frame.at(12) == 0x08) return IpAddress::v4(frame.data() + 14 + 12);
  IpAddress::Bytes bytes;
  std::copy_n(frame.begin() + 14 + 8, 16, bytes.begin());
  return IpAddress::v6(bytes);
}

TEST(TunnelSource, APrefixIsFilledFromTheFlow) {
  Services spread = services();
  spread.tunnel.source_ipv4 = *Prefix::parse("192.0.2.64/26");
  spread.tunnel.source_ipv6 = *Prefix::parse("2001:db8:2::ff00/120");
  Rig rig(spread);
  std::set<IpAddress> sources4, sources6;
  for (uint16_t port = 1; port <= 5000; ++port) {
    const Bytes four = tcp_packet({kClient4, kVip4, port, 80});
    const Fate fate = rig.run(ethernet({}, four));
    ASSERT_FALSE(fate.dropped);
    const IpAddress source = outer_source(fate.frame);
    ASSERT_TRUE(spread.tunnel.source_ipv4->contains(source)) << source.to_string();
    ASSERT_EQ(fate.frame, tunnelled4(four, 0, {}, source.to_string())) << "the checksum must follow";
    ASSERT_EQ(outer_source(rig.run(ethernet({}, four)).frame), source) << "one flow, one source";
    sources4.insert(source);

    const Fate six = rig.run(ethernet({}, tcp_packet({kClient6, kVip6, port, 90})));
    ASSERT_TRUE(spread.tunnel.source_ipv6->contains(outer_source(six.frame)));
    sources6.insert(outer_source(six.frame));
  }
  EXPECT_EQ(sources4.size(), 64u);
  EXPECT_EQ(sources6.size(), 256u);
}

TEST(FlowLabel, IsTheFlows) {
  Rig rig(services());
  std::set<Bytes> labels;
  for (uint16_t port = 1; port <= 200; ++port) {
    const Bytes frame = ethernet({}, tcp_packet({kClient6, kVip6, port, 90}));
    const Bytes first = rig.run(frame).frame, second = rig.run(frame).frame;
    EXPECT_EQ(first, second);
    labels.insert({static_cast<uint8_t>(first.at(15) & 0x0f), first.at(16), first.at(17)});
  }
  EXPECT_GT(labels.size(), 190u);
}

TEST(Jumbo, GoesThroughWhereTheLinkTakesIt) {
  Rig rig(services());
  rig.set_mtu(9000);
  rig.reload(services());
  const Case jumbo{"jumbo", tcp_packet(ports4(80), kAck, payload(8900)), true};
  expect_tunnelled(jumbo, rig.run(ethernet({}, jumbo.inner)));
}

TEST(Segments, AreSentOnWhereThePortTakesThem) {
  Rig rig(services(), {{.hardware_ipv4_checksum = false, .multi_segment = true}, {}});
  rig.set_mtu(9000);
  rig.reload(services());
  const Case jumbo{"jumbo in five segments", tcp_packet(ports4(80), kAck, payload(8000)), true};
  expect_tunnelled(jumbo, rig.run_mbuf(make_mbuf(ethernet({}, jumbo.inner), 1800)));
}

TEST(Segments, AreDroppedByNameWhereTheyCannotBeHandled) {
  const Bytes frame = ethernet({}, tcp_packet(ports4(80), kAck, payload(1000)));
  Rig plain(services());
  EXPECT_EQ(plain.run_mbuf(make_mbuf(frame, 500)).dropped, DropReason::kMultiSegment) << "port cannot";
  Rig able(services(), {{.hardware_ipv4_checksum = false, .multi_segment = true}, {}});
  EXPECT_EQ(able.run_mbuf(make_mbuf(frame, 30)).dropped, DropReason::kMultiSegment) << "headers cut";
  EXPECT_EQ(able.run_mbuf(make_mbuf(padded(frame, 1200), 500)).dropped, DropReason::kMultiSegment)
      << "padding";
}

TEST(Headroom, MissingRoomIsANamedDrop) {
  Rig rig(services());
  const Bytes frame = ethernet({}, tcp_packet(ports4(80)));
  rte_mbuf* mbuf = make_mbuf(frame);
  const uint16_t room = 40;
  std::copy(frame.begin(), frame.end(), static_cast<uint8_t*>(mbuf->buf_addr) + room);
  mbuf->data_off = room;
  EXPECT_EQ(rig.run_mbuf(mbuf).dropped, DropReason::kNoHeadroom);
}

TEST(TwoArms, ABackendsPortIsUsed) {
  Services two = services();
  two.pools[0].backends[0].next_hop = StaticNextHop{"second", mac(kRouterMac)};
  Rig rig(two);
  EXPECT_EQ(rig.run(ethernet({}, tcp_packet(ports4(80)))).port, 1);
  EXPECT_EQ(rig.run(ethernet({}, tcp_packet(ports4(90)))).port, 0);
}

TEST(Counters, CountByVipAndBackend) {
  Rig rig(services());
  const Bytes inner = tcp_packet(ports4(80), kAck, payload(100));
  for (int i = 0; i < 3; ++i) rig.run(padded(ethernet({}, inner), 300));
  const auto& vip = rig.counters().vips[*rig.ids().vips.find("v4-in-v4-tcp")];
  const auto& one = rig.counters().backends[*rig.ids().backends.find(std::string("four ") + kBackend4)];
  EXPECT_EQ(vip.packets.read(), 3u);
  EXPECT_EQ(vip.bytes.read(), 3 * inner.size());
  EXPECT_EQ(one.packets.read(), 3u);
  EXPECT_EQ(one.bytes.read(), 3 * inner.size());
}

}  // namespace
}  // namespace sluice::packet
