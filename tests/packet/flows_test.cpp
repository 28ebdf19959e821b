// Where flows go, and that they stay there.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/packet/frames.h"
#include "tests/packet/rig.h"
#include "tests/packet/site.h"

namespace sluice::packet {
namespace {

/// The same VIPs with ten backends behind each pool.
Services wide(uint32_t size = 65537) {
  Services all = services();
  for (Pool& pool : all.pools) {
    pool.maglev_size = size;
    pool.backends.clear();
    for (int i = 1; i <= 10; ++i) {
      const bool is_v4 = pool.name == "four";
      pool.backends.push_back(backend("b" + std::to_string(i), is_v4 ? "10.0.1." + std::to_string(i)
                                                                     : "2001:db8:1::" + std::to_string(i)));
    }
  }
  return all;
}

Bytes frame_of(uint16_t client_port, uint8_t flags = kAck) {
  return ethernet({}, tcp_packet({kClient4, kVip4, client_port, 80}, flags));
}

TEST(Flows, OneFlowAlwaysHasOneBackend) {
  Rig rig(wide());
  std::map<std::string, int> share;
  for (uint16_t port = 1; port <= 3000; ++port) {
    const std::string first = rig.backend_of(rig.run(frame_of(port, kSyn)));
    ASSERT_NE(first, "");
    for (int i = 0; i < 3; ++i) ASSERT_EQ(rig.backend_of(rig.run(frame_of(port))), first);
    ++share[first];
  }
  ASSERT_EQ(share.size(), 10u);
  for (const auto& [name, count] : share) EXPECT_NEAR(count, 300, 90) << name;
}

TEST(Flows, NodesAgreeWhateverTheOrderOfTheirConfig) {
  Services other = wide();
  std::mt19937 random(7);
  for (Pool& pool : other.pools) std::shuffle(pool.backends.begin(), pool.backends.end(), random);
  std::shuffle(other.pools.begin(), other.pools.end(), random);
  std::shuffle(other.vips.begin(), other.vips.end(), random);
  Rig one(wide()), two(other);
  for (uint16_t port = 1; port <= 3000; ++port) {
    const Fate a = one.run(frame_of(port)), b = two.run(frame_of(port));
    ASSERT_EQ(a.frame, b.frame);
  }
}

TEST(Flows, AnotherSeedPlacesThemElsewhere) {
  Services other = wide();
  other.cluster_seed = "another";
  Rig one(wide()), two(other);
  int same = 0;
  for (uint16_t port = 1; port <= 1000; ++port) {
    same += one.backend_of(one.run(frame_of(port))) == two.backend_of(two.run(frame_of(port)));
  }
  EXPECT_NEAR(same, 100, 50);
}

TEST(Flows, StayWhenBackendsComeAndGo) {
  Rig rig(wide());
  std::map<uint16_t, std::string> before;
  for (uint16_t port = 1; port <= 2000; ++port) before[port] = rig.backend_of(rig.run(frame_of(port, kSyn)));

  Services changed = wide();
  auto& backends = changed.pools[0].backends;
  backends.erase(backends.begin() + 3);  // b4
  backends.push_back(backend("new1", "10.0.1.101"));
  backends.push_back(backend("new2", "10.0.1.102"));
  rig.reload(changed);

  int moved = 0, on_new = 0;
  for (const auto& [port, name] : before) {
    const std::string now = rig.backend_of(rig.run(frame_of(port)));
    ASSERT_NE(now, "");
    if (name == "b4") {
      EXPECT_NE(now, "b4");
    } else {
      moved += now != name;
    }
  }
  EXPECT_EQ(moved, 0) << "flows of surviving backends";
  for (uint16_t port = 3000; port < 5000; ++port) {
    on_new += rig.backend_of(rig.run(frame_of(port, kSyn))).starts_with("new");
  }
  EXPECT_NEAR(on_new, 2000 * 2 / 11, 80) << "new flows use the new backends";
}

/// The source ports of those of 1 000 new flows that b4 gets.
std::vector<uint16_t> flows_on_b4(Rig& rig) {
  std::vector<uint16_t> ports;
  for (uint16_t port = 1; port <= 1000; ++port) {
    if (rig.backend_of(rig.run(frame_of(port, kSyn))) == "b4") ports.push_back(port);
  }
  return ports;
}

TEST(Flows, DrainKeepsKnownFlowsAndTakesNoNewOnes) {
  Rig rig(wide());
  const auto on_b4 = flows_on_b4(rig);
  Services drained = wide();
  drained.pools[0].backends[3].state = BackendState::kDrain;
  rig.reload(drained);
  for (const uint16_t port : on_b4) EXPECT_EQ(rig.backend_of(rig.run(frame_of(port))), "b4");
  for (uint16_t port = 3000; port < 4000; ++port)
    EXPECT_NE(rig.backend_of(rig.run(frame_of(port, kSyn))), "b4");

  Services down = wide();
  down.pools[0].backends[3].state = BackendState::kDown;
  rig.reload(down);
  for (const uint16_t port : on_b4) EXPECT_NE(rig.backend_of(rig.run(frame_of(port))), "b4");
}

TEST(Flows, AFreshSynIsPlacedAnew) {
  Rig rig(wide());
  const auto on_b4 = flows_on_b4(rig);
  Services drained = wide();
  drained.pools[0].backends[3].state = BackendState::kDrain;
  rig.reload(drained);
  for (const uint16_t port : on_b4) {
    const std::string now = rig.backend_of(rig.run(frame_of(port, kSyn)));
    EXPECT_NE(now, "b4") << "a reused 5-tuple is a new connection";
    EXPECT_EQ(rig.backend_of(rig.run(frame_of(port))), now);
  }
}

TEST(Flows, IdleOnesAreForgotten) {
  Rig rig(wide());  // 60 s: 30 ticks
  const auto on_b4 = flows_on_b4(rig);
  Services drained = wide();
  drained.pools[0].backends[3].state = BackendState::kDrain;
  rig.reload(drained);
  rig.now = static_cast<FlowTick>(rig.now + 30);
  for (const uint16_t port : on_b4)
    EXPECT_EQ(rig.backend_of(rig.run(frame_of(port))), "b4") << "just in time";
  rig.now = static_cast<FlowTick>(rig.now + 31);
  for (const uint16_t port : on_b4) EXPECT_NE(rig.backend_of(rig.run(frame_of(port))), "b4") << "too late";
}

TEST(Flows, AFullTableNeverFailsAPacket) {
  Rig rig(wide());
  for (uint32_t flow = 0; flow < 60000; ++flow) {
    const auto source = IpAddress::v4(198, 51, static_cast<uint8_t>(flow >> 8), static_cast<uint8_t>(flow));
    const Fate fate = rig.run(ethernet({}, tcp_packet({source.to_string(), kVip4, 1000, 80}, kSyn)));
    ASSERT_FALSE(fate.dropped);
  }
  EXPECT_GT(rig.flows().evicted(), 0u);
  EXPECT_LE(rig.flows().occupied(), rig.flows().capacity());
}

TEST(Vips, RangesAnyPortAndPrefixes) {
  Services all = services();
  all.vips = {
      {"exact", Prefix(ip(kVip4)), Protocol::kTcp, {80, 80}, "four", std::chrono::seconds(60)},
      {"range", Prefix(ip(kVip4)), Protocol::kTcp, {8000, 8100}, "six", std::chrono::seconds(60)},
      {"any", Prefix(ip("203.0.113.11")), Protocol::kUdp, {0, 65535}, "six", std::chrono::seconds(60)},
      {"net", *Prefix::parse("203.0.113.0/24"), Protocol::kTcp, {0, 65535}, "four", std::chrono::seconds(60)},
  };
  Rig rig(all);
  const auto vip_of = [&](const std::string& address, uint16_t port, bool is_tcp) -> std::string {
    std::map<std::string, uint64_t> before;
    for (const Vip& vip : all.vips)
      before[vip.name] = rig.counters().vips[*rig.ids().vips.find(vip.name)].packets.read();
    const Ports ports{kClient4, address, 40000, port};
    rig.run(ethernet({}, is_tcp ? tcp_packet(ports) : udp_packet(ports)));
    for (const Vip& vip : all.vips) {
      if (rig.counters().vips[*rig.ids().vips.find(vip.name)].packets.read() != before[vip.name])
        return vip.name;
    }
    return "";
  };
  EXPECT_EQ(vip_of(kVip4, 80, true), "exact");
  EXPECT_EQ(vip_of(kVip4, 8000, true), "range");
  EXPECT_EQ(vip_of(kVip4, 8100, true), "range");
  EXPECT_EQ(vip_of(kVip4, 8101, true), "net") << "the prefix stands behind the address";
  EXPECT_EQ(vip_of(kVip4, 80, false), "");
  EXPECT_EQ(vip_of("203.0.113.11", 1, false), "any");
  EXPECT_EQ(vip_of("203.0.113.11", 1, true), "net");
  EXPECT_EQ(vip_of("203.0.114.1", 1, true), "");
}

}  // namespace
}  // namespace sluice::packet
