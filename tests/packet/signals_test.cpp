// What workers count about the health of backends: SYNs that clients repeat, and ICMP errors about flows.
#include <gtest/gtest.h>

#include "tests/packet/frames.h"
#include "tests/packet/rig.h"
#include "tests/packet/site.h"

namespace sluice::packet {
namespace {

constexpr const char* kRouter4 = "192.0.2.254";
constexpr const char* kRouter6 = "2001:db8:2::fe";

struct Seen {
  uint64_t syns, again, unreachable;
  friend bool operator==(const Seen&, const Seen&) = default;
};
void PrintTo(const Seen& seen, std::ostream* out) {
  *out << seen.syns << " SYNs, " << seen.again << " again, " << seen.unreachable << " unreachable";
}

/// What all backends of the pool have been counted.
Seen seen(Rig& rig, const std::string& pool = "four") {
  Seen sum{};
  for (const Pool& one : services().pools) {
    if (one.name != pool) continue;
    for (const Backend& backend : one.backends) {
      const auto& signals =
          rig.counters().signals[*rig.ids().backends.find(ForwardingIds::backend_name(one, backend))];
      sum.syns += signals.syns.read();
      sum.again += signals.syns_again.read();
      sum.unreachable += signals.unreachable_errors.read();
    }
  }
  return sum;
}

Bytes packet4(uint8_t flags, uint16_t port = 40000) {
  return ethernet({}, tcp_packet({kClient4, kVip4, port, 80}, flags));
}
Bytes packet6(uint8_t flags) {
  return ethernet({}, tcp_packet({kClient6, kVip6, 40000, 90}, flags));
}
Bytes error4(uint8_t type, uint8_t code, uint16_t client_port = 40000) {
  const Bytes quote = tcp_packet({kVip4, kClient4, 80, client_port}, kAck);
  return ethernet(
      {}, ipv4({.source = kRouter4, .destination = kVip4, .protocol = 1}, icmpv4(type, code, 0, quote)));
}
Bytes error6(uint8_t type, uint8_t code) {
  const Bytes quote = tcp_packet({kVip6, kClient6, 90, 40000}, kAck);
  return ethernet({}, ipv6({.source = kRouter6, .destination = kVip6, .next_header = 58},
                           icmpv6(kRouter6, kVip6, type, code, 0, quote)));
}

TEST(SynSignals, ARepeatedSynCountsWhileTheFirstIsFresh) {
  Rig rig(services());
  rig.now = 100;
  rig.run(packet4(kSyn));
  EXPECT_EQ(seen(rig), (Seen{1, 0, 0}));
  rig.run(packet4(kSyn));
  EXPECT_EQ(seen(rig), (Seen{2, 1, 0})) << "after less than a tick";
  rig.now = 102;
  rig.run(packet4(kSyn));
  EXPECT_EQ(seen(rig), (Seen{3, 2, 0})) << "two ticks, the third repetition of a client";
  rig.now = 105;
  rig.run(packet4(kSyn));
  EXPECT_EQ(seen(rig), (Seen{4, 2, 0})) << "after so long a new connection may use the port";
  rig.run(packet6(kSyn));
  rig.run(packet6(kSyn));
  EXPECT_EQ(seen(rig, "six"), (Seen{2, 1, 0}));
}

TEST(SynSignals, NothingElseCounts) {
  Rig rig(services());
  rig.run(packet4(kSyn, 1));
  rig.run(packet4(kSyn, 2));
  rig.run(packet4(kSyn | kAck, 2));
  rig.run(packet4(kAck, 3));
  rig.run(packet4(kAck, 3));
  rig.run(packet4(kRst, 4));
  rig.run(ethernet({}, udp_packet({kClient4, kVip4, 5, 80})));
  EXPECT_EQ(seen(rig), (Seen{2, 0, 0}));
}

TEST(SynSignals, ARepetitionThatGoesElsewhereIsNotTheNewBackendsFault) {
  Services all = services();
  Rig rig(all);
  rig.run(packet4(kSyn));
  all.pools[0].backends.push_back(backend("other", "10.0.1.99"));
  all.pools[0].backends[0].state = BackendState::kDrain;
  rig.reload(all);
  rig.run(packet4(kSyn));
  const auto id =
      rig.ids().backends.find(ForwardingIds::backend_name(all.pools[0], all.pools[0].backends[1]));
  EXPECT_EQ(rig.counters().signals[*id].syns.read(), 1u);
  EXPECT_EQ(rig.counters().signals[*id].syns_again.read(), 0u);
}

TEST(SynSignals, InOneBurstToo) {
  Rig rig(services());
  rig.run_burst({make_mbuf(packet4(kSyn)), make_mbuf(packet6(kSyn)), make_mbuf(packet4(kSyn)),
                 make_mbuf(packet4(kAck)), make_mbuf(packet6(kSyn))});
  EXPECT_EQ(seen(rig), (Seen{2, 1, 0}));
  EXPECT_EQ(seen(rig, "six"), (Seen{2, 1, 0}));
}

TEST(IcmpSignals, UnreachableErrorsAboutKnownFlowsCount) {
  Rig rig(services());
  rig.run(packet4(kSyn));
  rig.run(packet6(kSyn));
  for (const uint8_t code : std::initializer_list<uint8_t>{0, 1, 3, 13})
    ASSERT_FALSE(rig.run(error4(3, code)).dropped);
  EXPECT_EQ(seen(rig), (Seen{1, 0, 4}));
  for (const uint8_t code : std::initializer_list<uint8_t>{0, 3, 4})
    ASSERT_FALSE(rig.run(error6(1, code)).dropped);
  EXPECT_EQ(seen(rig, "six"), (Seen{1, 0, 3}));
}

TEST(IcmpSignals, OtherErrorsAndUnknownFlowsDoNot) {
  Rig rig(services());
  rig.run(packet4(kSyn));
  rig.run(packet6(kSyn));
  rig.run(error4(3, 4));         // fragmentation needed
  rig.run(error4(11, 0));        // time exceeded
  rig.run(error6(2, 0));         // packet too big
  rig.run(error6(3, 0));         // time exceeded
  rig.run(error4(3, 1, 12345));  // of no flow
  EXPECT_EQ(seen(rig), (Seen{1, 0, 0}));
  EXPECT_EQ(seen(rig, "six"), (Seen{1, 0, 0}));
  rig.now = static_cast<FlowTick>(rig.now + 31);
  rig.run(error4(3, 1));
  EXPECT_EQ(seen(rig), (Seen{1, 0, 0})) << "the flow has expired";
}

TEST(IcmpSignals, InABurstTheRightFlowIsBlamed) {
  Services all = services();
  all.pools[0].backends.push_back(backend("second", "10.0.1.12"));
  Rig rig(all);
  std::map<std::string, uint16_t> port_on;
  for (uint16_t port = 1; port_on.size() < 2; ++port)
    port_on[rig.backend_of(rig.run(packet4(kSyn, port)))] = port;
  rig.run_burst({make_mbuf(packet4(kAck, port_on["b4"])), make_mbuf(error4(3, 1, port_on["second"])),
                 make_mbuf(packet6(kAck)), make_mbuf(packet4(kAck, port_on["b4"])),
                 make_mbuf(error4(3, 1, port_on["second"]))});
  const auto unreachable = [&](int i) {
    const auto id =
        rig.ids().backends.find(ForwardingIds::backend_name(all.pools[0], all.pools[0].backends[i]));
    return rig.counters().signals[*id].unreachable_errors.read();
  };
  EXPECT_EQ(unreachable(0), 0u);
  EXPECT_EQ(unreachable(1), 2u);
}

}  // namespace
}  // namespace sluice::packet
