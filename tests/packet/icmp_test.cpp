// ICMP: errors follow the flow that they are about, echo and too-big are answered by the node itself.
#include <gtest/gtest.h>

#include "tests/packet/frames.h"
#include "tests/packet/rig.h"
#include "tests/packet/site.h"

namespace sluice::packet {
namespace {

constexpr const char* kRouter4 = "192.0.2.254";
constexpr const char* kRouter6 = "2001:db8:2::fe";

Services wide() {
  Services all = services();
  for (Pool& pool : all.pools) {
    pool.backends.clear();
    for (int i = 1; i <= 10; ++i) {
      pool.backends.push_back(backend("b" + std::to_string(i), pool.name == "four"
                                                                   ? "10.0.1." + std::to_string(i)
                                                                   : "2001:db8:1::" + std::to_string(i)));
    }
  }
  return all;
}

/// A router's "fragmentation needed" about a packet from VIP to client.
Bytes error4(const Ports& reply, const std::string& to = kVip4, size_t quoted = 28) {
  Bytes quote = tcp_packet(reply, kAck, payload(500));
  quote.resize(quoted);
  return ethernet({},
                  ipv4({.source = kRouter4, .destination = to, .protocol = 1}, icmpv4(3, 4, 1400, quote)));
}
Bytes error6(const Ports& reply) {
  Bytes quote = tcp_packet(reply, kAck, payload(500));
  return ethernet({}, ipv6({.source = kRouter6, .destination = kVip6, .next_header = 58},
                           icmpv6(kRouter6, kVip6, 2, 0, 1400, quote)));
}

TEST(IcmpErrors, GoToTheBackendOfTheFlow) {
  Rig rig(wide());
  for (uint16_t port = 1; port <= 300; ++port) {
    const std::string four = rig.backend_of(rig.run(ethernet({}, tcp_packet({kClient4, kVip4, port, 80}))));
    const Fate error = rig.run(error4({kVip4, kClient4, 80, port}));
    ASSERT_FALSE(error.dropped) << drop_reason_name(*error.dropped);
    EXPECT_EQ(rig.backend_of(error), four);
    const std::string six = rig.backend_of(rig.run(ethernet({}, tcp_packet({kClient6, kVip6, port, 90}))));
    EXPECT_EQ(rig.backend_of(rig.run(error6({kVip6, kClient6, 90, port}))), six);
  }
}

TEST(IcmpErrors, CarryTheWholeErrorInTheTunnel) {
  Rig rig(services());
  const Bytes frame = error4({kVip4, kClient4, 80, 40000});
  const Bytes error(frame.begin() + 14, frame.end());
  EXPECT_EQ(rig.run(frame).frame,
            ethernet({.destination = kRouterMac, .source = kNodeMac},
                     ipv4({.source = kTunnel4, .destination = kBackend4, .protocol = 47}, gre(error))));
}

TEST(IcmpErrors, NeverInsertAFlow) {
  Rig rig(wide());
  for (uint16_t port = 1; port <= 100; ++port) rig.run(error4({kVip4, kClient4, 80, port}));
  EXPECT_EQ(rig.flows().occupied(), 0u);
}

TEST(IcmpErrors, ThatMatchNoVipFlowAreDroppedByName) {
  Rig rig(services());
  const Ports good{kVip4, kClient4, 80, 40000};
  const std::vector<std::pair<std::string, Bytes>> frames = {
      {"quoted sender is not the VIP", error4({"203.0.113.77", kClient4, 80, 40000})},
      {"quoted port is no VIP's", error4({kVip4, kClient4, 81, 40000})},
      {"quote without ports", error4(good, kVip4, 23)},
      {"quote without addresses", error4(good, kVip4, 19)},
      {"no quote", error4(good, kVip4, 0)},
      {"echo reply", ethernet({}, ipv4({.source = kClient4, .destination = kVip4, .protocol = 1},
                                       icmpv4(0, 0, 1, payload(40))))},
      {"timestamp request", ethernet({}, ipv4({.source = kClient4, .destination = kVip4, .protocol = 1},
                                              icmpv4(13, 0, 1, payload(12))))},
      {"neighbour solicitation",
       ethernet({}, ipv6({.source = kClient6, .destination = kVip6, .next_header = 58},
                         icmpv6(kClient6, kVip6, 135, 0, 0, payload(16))))},
      {"error about a later fragment",
       ethernet({}, ipv4({.source = kRouter4, .destination = kVip4, .protocol = 1},
                         icmpv4(3, 4, 1400,
                                ipv4({.source = kVip4, .destination = kClient4, .protocol = 6, .fragment = 9},
                                     payload(8)))))},
  };
  for (const auto& [description, frame] : frames) {
    const Fate fate = rig.run(frame);
    EXPECT_EQ(fate.dropped, DropReason::kIcmpUnmatched) << description;
  }
}

TEST(Echo, IsAnsweredByTheNode) {
  Rig rig(services());
  for (const size_t size : {0u, 1u, 56u, 1400u}) {
    const Bytes ask4 =
        ethernet({}, ipv4({.source = kClient4, .destination = kVip4, .protocol = 1, .ttl = 7, .id = 99},
                          icmpv4(8, 0, 0x12340001, payload(size))));
    EXPECT_EQ(rig.run(ask4).frame,
              ethernet({.destination = "02:00:00:00:00:02", .source = "02:00:00:00:00:01"},
                       ipv4({.source = kVip4, .destination = kClient4, .protocol = 1, .ttl = 64, .id = 99},
                            icmpv4(0, 0, 0x12340001, payload(size)))))
        << size;
    const Bytes ask6 =
        ethernet({.tags = {0x81000064}},
                 ipv6({.source = kClient6, .destination = kVip6, .next_header = 58, .hop_limit = 7},
                      icmpv6(kClient6, kVip6, 128, 0, 0x12340001, payload(size))));
    EXPECT_EQ(
        rig.run(ask6).frame,
        ethernet({.destination = "02:00:00:00:00:02", .source = "02:00:00:00:00:01", .tags = {0x81000064}},
                 ipv6({.source = kVip6, .destination = kClient6, .next_header = 58, .hop_limit = 64},
                      icmpv6(kVip6, kClient6, 129, 0, 0x12340001, payload(size)))))
        << size;
  }
  EXPECT_EQ(rig.counters().echo_replies.read(), 8u);
}

TEST(Echo, GoesBackByThePortItCameFrom) {
  Rig rig(services());
  const Bytes ask = ethernet(
      {}, ipv4({.source = kClient4, .destination = kVip4, .protocol = 1}, icmpv4(8, 0, 1, payload(8))));
  EXPECT_EQ(rig.run(ask, 1).port, 1);
}

TEST(Echo, InSegmentsIsAnsweredWhereThePortTakesThem) {
  const Bytes ask = ethernet(
      {}, ipv4({.source = kClient4, .destination = kVip4, .protocol = 1}, icmpv4(8, 0, 1, payload(1000))));
  Rig plain(services());
  EXPECT_EQ(plain.run_mbuf(make_mbuf(ask, 500)).dropped, DropReason::kMultiSegment);
  Rig able(services(), {{.hardware_ipv4_checksum = false, .multi_segment = true}, {}});
  EXPECT_EQ(able.run_mbuf(make_mbuf(ask, 500)).frame.size(), ask.size());
}

TEST(TooBig, TellsTheClientWhatFits) {
  Rig rig(services());
  const Bytes big4 = tcp_packet(ports4(80), kAck, payload(1437));  // 1477 + 24 > 1500
  const Fate fate4 = rig.run(ethernet({}, big4));
  EXPECT_EQ(fate4.dropped, DropReason::kTooBig);
  EXPECT_EQ(fate4.frame,
            ethernet({.destination = "02:00:00:00:00:02", .source = "02:00:00:00:00:01"},
                     ipv4({.source = kVip4, .destination = kClient4, .protocol = 1, .dont_fragment = false},
                          icmpv4(3, 4, 1476, Bytes(big4.begin(), big4.begin() + 548)))))
      << dump(fate4.frame);
  EXPECT_FALSE(rig.run(ethernet({}, tcp_packet(ports4(80), kAck, payload(1436)))).dropped) << "just fits";

  const Bytes big6 = tcp_packet(ports6(90), kAck, payload(1400));  // 1460 + 44 > 1500
  const Fate fate6 = rig.run(ethernet({.tags = {0x81000064}}, big6));
  EXPECT_EQ(fate6.dropped, DropReason::kTooBig);
  EXPECT_EQ(fate6.frame,
            ethernet({.destination = "02:00:00:00:00:02", .source = "02:00:00:00:00:01"},
                     ipv6({.source = kVip6, .destination = kClient6, .next_header = 58},
                          icmpv6(kVip6, kClient6, 2, 0, 1456, Bytes(big6.begin(), big6.begin() + 1232)))))
      << dump(fate6.frame);
}

TEST(TooBig, IsNotAnsweredWithoutDontFragment) {
  Rig rig(services());
  const Fate fate = rig.run(
      ethernet({}, ipv4({.source = kClient4, .destination = kVip4, .protocol = 17, .dont_fragment = false},
                        udp(ports4(80), payload(1460)))));
  EXPECT_EQ(fate.dropped, DropReason::kTooBig);
  EXPECT_TRUE(fate.frame.empty());
}

TEST(TooBig, AnswersAreLimited) {
  Rig rig(services());
  const Bytes big = ethernet({}, tcp_packet(ports4(80), kAck, payload(1460)));
  for (int i = 0; i < 3000; ++i) rig.run(big);
  EXPECT_EQ(rig.counters().too_big_answers.read(), 2000u);
  EXPECT_EQ(rig.counters().drops[static_cast<size_t>(DropReason::kTooBig)].read(), 3000u);
  ++rig.now;
  rig.run(big);
  EXPECT_EQ(rig.counters().too_big_answers.read(), 2001u);
}

}  // namespace
}  // namespace sluice::packet
