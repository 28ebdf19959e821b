#include "control/next_hop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

namespace sluice::control {
namespace {

constexpr MacAddress kPort({2, 0, 0, 0, 0, 1});
constexpr MacAddress kPeer({2, 0, 0, 0, 0, 2});

IpAddress address(const char* text) {
  return IpAddress::parse(text).value();
}

Links links() {
  return {{1, {1, "lo", std::nullopt, 65536, true, true}}, {2, {2, "eth0", kPort, 1500, true, true}},
          {3, {3, "eth1", kPort, 1500, true, true}},       {4, {4, "eth2", kPort, 1500, true, false}},
          {5, {5, "eth3", kPort, 1500, false, false}},     {6, {6, "tun0", std::nullopt, 1500, true, true}}};
}

const std::vector<std::string> kPorts = {"eth1", "eth2", "eth3", "tun0"};

Route out_of(uint32_t interface_index, const char* gateway = nullptr) {
  Route route{.kind = RouteKind::kUnicast, .interface_index = interface_index};
  if (gateway != nullptr) {
    route.gateway = address(gateway);
  }
  return route;
}

TEST(NextHop, IsThePortsMacAndTheNeighboursMac) {
  const Neighbour neighbour{NeighbourState::kFresh, kPeer};
  const auto decision = decide_next_hop(address("10.0.1.11"), out_of(3), links(), kPorts, &neighbour, {});
  ASSERT_TRUE(decision.next_hop) << decision.next_hop.error().message;
  EXPECT_EQ(*decision.next_hop, (NextHop{"eth1", kPort, kPeer, 1500}));
  EXPECT_FALSE(decision.waiting);
}

TEST(NextHop, StaysWhileTheNeighbourIsStaleOrBeingConfirmed) {
  for (auto state : {NeighbourState::kStale, NeighbourState::kProbing}) {
    const Neighbour neighbour{state, kPeer};
    EXPECT_TRUE(decide_next_hop(address("10.0.1.11"), out_of(3), links(), kPorts, &neighbour, {}).next_hop);
  }
}

TEST(NextHop, HasTheSmallerMtuOfRouteAndInterface) {
  const Neighbour neighbour{NeighbourState::kFresh, kPeer};
  for (const auto& [route_mtu, mtu] : {std::pair{0u, 1500u}, {1300u, 1300u}, {9000u, 1500u}}) {
    Route route = out_of(3);
    route.mtu = route_mtu;
    EXPECT_EQ(decide_next_hop(address("10.0.1.11"), route, links(), kPorts, &neighbour, {}).next_hop->mtu,
              mtu);
  }
}

TEST(NextHop, TheNeighbourToResolveIsTheGatewayOrTheBackend) {
  EXPECT_EQ(neighbour_to_resolve(address("10.0.1.11"), out_of(3), links(), kPorts),
            (NeighbourKey{3, address("10.0.1.11")}));
  EXPECT_EQ(neighbour_to_resolve(address("10.7.0.1"), out_of(3, "fe80::1"), links(), kPorts),
            (NeighbourKey{3, address("fe80::1")}));
}

struct Reason {
  const char* description;
  const char* backend;
  Route route;
  std::optional<Neighbour> neighbour;
  Resolution resolution;
  const char* words;
  bool waiting = false;
};

class NextHopReasons : public testing::TestWithParam<Reason> {};

TEST_P(NextHopReasons, AreSaidInWords) {
  const Reason& reason = GetParam();
  const auto decision = decide_next_hop(address(reason.backend), reason.route, links(), kPorts,
                                        reason.neighbour ? &*reason.neighbour : nullptr, reason.resolution);
  ASSERT_FALSE(decision.next_hop);
  EXPECT_EQ(decision.next_hop.error().message, reason.words);
  EXPECT_EQ(decision.waiting, reason.waiting);
}

constexpr Neighbour kFailedNeighbour{NeighbourState::kFailed, kPeer};

INSTANTIATE_TEST_SUITE_P(
    All, NextHopReasons,
    testing::Values(
        Reason{
            "NoRoute", "10.0.1.11", {}, {}, {}, "no route to 10.0.1.11; eth2 has no carrier; eth3 is down"},
        Reason{"Local",
               "10.0.1.1",
               {.kind = RouteKind::kLocal, .interface_index = 1},
               {},
               {},
               "10.0.1.1 is an address of this node; a backend has to be elsewhere"},
        Reason{"Broadcast",
               "10.0.1.255",
               {.kind = RouteKind::kBroadcast},
               {},
               {},
               "10.0.1.255 is a broadcast or anycast address"},
        Reason{"Multicast",
               "224.0.0.9",
               {.kind = RouteKind::kMulticast},
               {},
               {},
               "224.0.0.9 is a multicast address"},
        Reason{"Blackhole",
               "10.0.1.11",
               {.kind = RouteKind::kBlackhole},
               {},
               {},
               "the route to 10.0.1.11 is a blackhole"},
        Reason{"Unreachable",
               "10.0.1.11",
               {.kind = RouteKind::kUnreachable},
               {},
               {},
               "the route to 10.0.1.11 is of type unreachable"},
        Reason{"Prohibited",
               "10.0.1.11",
               {.kind = RouteKind::kProhibited},
               {},
               {},
               "the route to 10.0.1.11 is of type prohibit"},
        Reason{"KernelError",
               "10.0.1.11",
               {.kind = RouteKind::kOther, .error = ENOMEM},
               {},
               {},
               "the kernel does not say where 10.0.1.11 is: Cannot allocate memory"},
        Reason{"NoPort",
               "10.9.0.2",
               out_of(2),
               kFailedNeighbour,
               {},
               "the route to 10.9.0.2 goes out by eth0, which is no port of sluiced; ports are eth1, eth2, "
               "eth3, tun0"},
        Reason{"NoCarrier", "10.0.2.11", out_of(4), {}, {}, "eth2, on the way to 10.0.2.11, has no carrier"},
        Reason{"Down", "10.0.3.11", out_of(5), {}, {}, "eth3, on the way to 10.0.3.11, is down"},
        Reason{"NoEthernet",
               "10.0.4.11",
               out_of(6),
               {},
               {},
               "tun0, on the way to 10.0.4.11, is not an Ethernet interface"},
        Reason{"Gone", "10.0.4.11", out_of(99), {}, {}, "the interface of the route to 10.0.4.11 is gone"},
        Reason{"WaitingArp",
               "10.0.1.11",
               out_of(3),
               {},
               {},
               "waiting for 10.0.1.11 to answer ARP on eth1",
               true},
        Reason{"WaitingNd",
               "fd00::11",
               out_of(3),
               {},
               {},
               "waiting for fd00::11 to answer neighbour discovery on eth1",
               true},
        Reason{"Unanswered",
               "10.0.1.11",
               out_of(3),
               kFailedNeighbour,
               {.unanswered = true},
               "10.0.1.11 does not answer ARP on eth1"},
        Reason{"GatewayUnanswered",
               "10.7.0.1",
               out_of(3, "fe80::1"),
               kFailedNeighbour,
               {.unanswered = true},
               "fe80::1, the gateway to 10.7.0.1, does not answer neighbour discovery on eth1"},
        Reason{"TableFull",
               "10.0.1.11",
               out_of(3),
               {},
               {.error = ENOBUFS},
               "the kernel's neighbour table is full: no room for 10.0.1.11 on eth1; raise sysctl "
               "net.ipv4.neigh.default.gc_thresh3"},
        Reason{"Refused",
               "10.0.1.11",
               out_of(3),
               {},
               {.error = EPERM},
               "the kernel refuses to resolve 10.0.1.11 on eth1: Operation not permitted"}),
    [](const auto& test) { return test.param.description; });

TEST(NextHop, NothingIsResolvedOutOfAnInterfaceThatCannotSend) {
  for (uint32_t interface_index : {1u, 2u, 4u, 5u, 6u, 99u}) {
    EXPECT_FALSE(neighbour_to_resolve(address("10.0.1.11"), out_of(interface_index), links(), kPorts));
  }
  EXPECT_FALSE(neighbour_to_resolve(address("10.0.1.11"), {.kind = RouteKind::kLocal, .interface_index = 3},
                                    links(), kPorts));
}

TEST(NextHop, AMissingPortIsNamedWhereThereIsNoRoute) {
  EXPECT_EQ(
      decide_next_hop(address("10.0.1.11"), {}, links(), {"eth9"}, nullptr, {}).next_hop.error().message,
      "no route to 10.0.1.11; interface eth9 does not exist");
  EXPECT_EQ(
      decide_next_hop(address("10.0.1.11"), out_of(3), links(), {}, nullptr, {}).next_hop.error().message,
      "the route to 10.0.1.11 goes out by eth1, which is no port of sluiced; no port has a Linux interface");
}

}  // namespace
}  // namespace sluice::control
