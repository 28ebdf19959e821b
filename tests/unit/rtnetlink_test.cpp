#include "control/rtnetlink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace sluice::control {
namespace {

constexpr MacAddress kMac({2, 0, 0, 0, 0, 7});

IpAddress address(const char* text) {
  return IpAddress::parse(text).value();
}

/// A message as the kernel would send it.
template <typename Header>
class Message {
 public:
  Message(uint16_t type, Header header) {
    mnl_nlmsg_put_header(bytes_.data());
    get().nlmsg_type = type;
    std::memcpy(mnl_nlmsg_put_extra_header(&get(), sizeof(Header)), &header, sizeof(Header));
  }
  Message& with(uint16_t type, const void* data, size_t length) {
    mnl_attr_put(&get(), type, length, data);
    return *this;
  }
  Message& with(uint16_t type, const IpAddress& value) {
    return value.is_v4() ? with(type, value.v4_bytes(), 4) : with(type, value.bytes().data(), 16);
  }
  Message& with(uint16_t type, const MacAddress& value) { return with(type, value.bytes().data(), 6); }
  Message& with(uint16_t type, uint32_t value) { return with(type, &value, sizeof(value)); }
  Message& with(uint16_t type, const char* text) { return with(type, text, std::strlen(text) + 1); }
  nlmsghdr& get() { return *reinterpret_cast<nlmsghdr*>(bytes_.data()); }

 private:
  alignas(nlmsghdr) std::array<std::byte, 512> bytes_{};
};

using LinkMessage = Message<ifinfomsg>;
using NeighbourMessage = Message<ndmsg>;
using RouteMessage = Message<rtmsg>;

ifinfomsg link_header(unsigned flags, uint8_t family = AF_UNSPEC) {
  ifinfomsg header{};
  header.ifi_family = family;
  header.ifi_index = 5;
  header.ifi_flags = flags;
  return header;
}

ndmsg neighbour_header(uint8_t family, uint16_t state, uint8_t flags = 0) {
  ndmsg header{};
  header.ndm_family = family;
  header.ndm_ifindex = 5;
  header.ndm_state = state;
  header.ndm_flags = flags;
  return header;
}

rtmsg route_header(uint8_t family, uint8_t type = RTN_UNICAST, uint8_t length = 32) {
  rtmsg header{};
  header.rtm_family = family;
  header.rtm_type = type;
  header.rtm_dst_len = length;
  return header;
}

TEST(Rtnetlink, ALinkIsReadWithItsNameMacMtuAndState) {
  LinkMessage message(RTM_NEWLINK, link_header(IFF_UP | IFF_RUNNING));
  message.with(IFLA_IFNAME, "eth1").with(IFLA_ADDRESS, kMac).with(IFLA_MTU, 9000u);
  const auto change = parse_link(message.get());
  ASSERT_TRUE(change);
  EXPECT_FALSE(change->gone);
  EXPECT_EQ(change->link, (Link{5, "eth1", kMac, 9000, true, true}));
}

TEST(Rtnetlink, AnInterfaceThatIsDownIsNotRunningWhateverItsCarrier) {
  LinkMessage message(RTM_NEWLINK, link_header(IFF_RUNNING));
  const auto change = parse_link(message.with(IFLA_IFNAME, "eth1").get());
  ASSERT_TRUE(change);
  EXPECT_FALSE(change->link.up);
  EXPECT_FALSE(change->link.running);
}

TEST(Rtnetlink, ALinkWithoutEthernetAddressHasNoMac) {
  LinkMessage message(RTM_NEWLINK, link_header(IFF_UP));
  const auto change =
      parse_link(message.with(IFLA_IFNAME, "tun0").with(IFLA_ADDRESS, address("192.0.2.1")).get());
  ASSERT_TRUE(change);
  EXPECT_FALSE(change->link.mac);
}

TEST(Rtnetlink, ADeletedLinkIsGoneButOneThatLeftItsBridgeIsNot) {
  LinkMessage deleted(RTM_DELLINK, link_header(0));
  ASSERT_TRUE(parse_link(deleted.with(IFLA_IFNAME, "eth1").get()));
  EXPECT_TRUE(parse_link(deleted.get())->gone);
  LinkMessage left(RTM_DELLINK, link_header(0, AF_BRIDGE));
  EXPECT_FALSE(parse_link(left.with(IFLA_IFNAME, "eth1").get()));
}

struct StateCase {
  uint16_t nud;
  NeighbourState state;
  bool usable;
};

class NeighbourStates : public testing::TestWithParam<StateCase> {};

TEST_P(NeighbourStates, AreReadAndUsableWhereTheMacIsGood) {
  NeighbourMessage message(RTM_NEWNEIGH, neighbour_header(AF_INET, GetParam().nud));
  message.with(NDA_DST, address("10.0.1.11")).with(NDA_LLADDR, kMac);
  const auto change = parse_neighbour(message.get());
  ASSERT_TRUE(change);
  ASSERT_TRUE(change->neighbour);
  EXPECT_EQ(change->key, (NeighbourKey{5, address("10.0.1.11")}));
  EXPECT_EQ(change->neighbour->state, GetParam().state);
  EXPECT_EQ(change->neighbour->mac, kMac);
  EXPECT_EQ(change->neighbour->is_usable(), GetParam().usable);
}

INSTANTIATE_TEST_SUITE_P(All, NeighbourStates,
                         testing::Values(StateCase{NUD_NONE, NeighbourState::kUnresolved, false},
                                         StateCase{NUD_INCOMPLETE, NeighbourState::kUnresolved, false},
                                         StateCase{NUD_REACHABLE, NeighbourState::kFresh, true},
                                         StateCase{NUD_PERMANENT, NeighbourState::kFresh, true},
                                         StateCase{NUD_NOARP, NeighbourState::kFresh, true},
                                         StateCase{NUD_STALE, NeighbourState::kStale, true},
                                         StateCase{NUD_DELAY, NeighbourState::kProbing, true},
                                         StateCase{NUD_PROBE, NeighbourState::kProbing, true},
                                         StateCase{NUD_FAILED, NeighbourState::kFailed, false}));

TEST(Rtnetlink, ANeighbourWithoutMacIsNotUsable) {
  NeighbourMessage message(RTM_NEWNEIGH, neighbour_header(AF_INET6, NUD_NOARP));
  const auto change = parse_neighbour(message.with(NDA_DST, address("fd00::1")).get());
  ASSERT_TRUE(change && change->neighbour);
  EXPECT_FALSE(change->neighbour->is_usable());
}

TEST(Rtnetlink, AForgottenNeighbourHasNoState) {
  NeighbourMessage message(RTM_DELNEIGH, neighbour_header(AF_INET6, NUD_STALE));
  const auto change = parse_neighbour(message.with(NDA_DST, address("fd00::1")).get());
  ASSERT_TRUE(change);
  EXPECT_EQ(change->key.address, address("fd00::1"));
  EXPECT_FALSE(change->neighbour);
}

TEST(Rtnetlink, BridgeAndProxyEntriesAreNoNeighbours) {
  NeighbourMessage bridge(RTM_NEWNEIGH, neighbour_header(AF_BRIDGE, NUD_PERMANENT));
  EXPECT_FALSE(parse_neighbour(bridge.with(NDA_LLADDR, kMac).get()));
  NeighbourMessage proxy(RTM_NEWNEIGH, neighbour_header(AF_INET, NUD_NONE, NTF_PROXY));
  EXPECT_FALSE(parse_neighbour(proxy.with(NDA_DST, address("10.0.1.11")).get()));
}

TEST(Rtnetlink, ARouteOnTheLinkHasNoGateway) {
  RouteMessage message(RTM_NEWROUTE, route_header(AF_INET));
  EXPECT_EQ(parse_route(message.with(RTA_OIF, 5u).get()),
            (Route{.kind = RouteKind::kUnicast, .interface_index = 5}));
}

TEST(Rtnetlink, AGatewayAndTheMtuOfTheRouteAreRead) {
  RouteMessage message(RTM_NEWROUTE, route_header(AF_INET));
  message.with(RTA_OIF, 5u).with(RTA_GATEWAY, address("10.0.1.254"));
  nlattr* metrics = mnl_attr_nest_start(&message.get(), RTA_METRICS);
  message.with(RTAX_ADVMSS, 1200u).with(RTAX_MTU, 1300u);
  mnl_attr_nest_end(&message.get(), metrics);
  EXPECT_EQ(parse_route(message.get()), (Route{RouteKind::kUnicast, 5, address("10.0.1.254"), 1300, 0}));
}

TEST(Rtnetlink, AnIpv4RouteMayHaveAnIpv6Gateway) {
  const IpAddress gateway = address("fe80::1");
  std::array<uint8_t, sizeof(rtvia) + 16> via{AF_INET6};
  std::memcpy(via.data() + sizeof(rtvia), gateway.bytes().data(), 16);
  RouteMessage message(RTM_NEWROUTE, route_header(AF_INET));
  message.with(RTA_OIF, 5u).with(RTA_VIA, via.data(), via.size());
  EXPECT_EQ(parse_route(message.get()).value().gateway, gateway);
}

TEST(Rtnetlink, TypesOfRouteAreToldApart) {
  const std::pair<uint8_t, RouteKind> kinds[] = {{RTN_UNICAST, RouteKind::kUnicast},
                                                 {RTN_LOCAL, RouteKind::kLocal},
                                                 {RTN_BROADCAST, RouteKind::kBroadcast},
                                                 {RTN_ANYCAST, RouteKind::kBroadcast},
                                                 {RTN_MULTICAST, RouteKind::kMulticast},
                                                 {RTN_BLACKHOLE, RouteKind::kBlackhole},
                                                 {RTN_UNREACHABLE, RouteKind::kUnreachable},
                                                 {RTN_PROHIBIT, RouteKind::kProhibited},
                                                 {RTN_NAT, RouteKind::kOther}};
  for (const auto& [type, kind] : kinds) {
    RouteMessage message(RTM_NEWROUTE, route_header(AF_INET, type));
    EXPECT_EQ(parse_route(message.get()).value().kind, kind) << int(type);
  }
}

TEST(Rtnetlink, ErrorsOfALookUpAreKindsOfRoute) {
  EXPECT_EQ(route_of_error(ENETUNREACH).kind, RouteKind::kNone);
  EXPECT_EQ(route_of_error(EHOSTUNREACH).kind, RouteKind::kUnreachable);
  EXPECT_EQ(route_of_error(EACCES).kind, RouteKind::kProhibited);
  EXPECT_EQ(route_of_error(EINVAL).kind, RouteKind::kBlackhole);
  EXPECT_EQ(route_of_error(ENOMEM), (Route{.kind = RouteKind::kOther, .error = ENOMEM}));
}

TEST(Rtnetlink, AChangedRouteSaysWhichAddressesItConcerns) {
  RouteMessage added(RTM_NEWROUTE, route_header(AF_INET, RTN_UNICAST, 16));
  EXPECT_EQ(parse_route_destination(added.with(RTA_DST, address("10.7.0.0")).get()),
            Prefix::parse("10.7.0.0/16").value());
  RouteMessage removed(RTM_DELROUTE, route_header(AF_INET6, RTN_UNICAST, 0));
  EXPECT_EQ(parse_route_destination(removed.get()), Prefix::parse("::/0").value());
  RouteMessage other(RTM_NEWROUTE, route_header(RTNL_FAMILY_IPMR));
  EXPECT_FALSE(parse_route_destination(other.get()));
  RouteMessage lying(RTM_NEWROUTE, route_header(AF_INET, RTN_UNICAST, 33));
  EXPECT_FALSE(parse_route_destination(lying.with(RTA_DST, address("10.7.0.0")).get()));
}

TEST(Rtnetlink, AMessageCutShortIsNotRead) {
  // What no value can do without comes last here.
  LinkMessage link(RTM_NEWLINK, link_header(IFF_UP));
  link.with(IFLA_MTU, 1500u).with(IFLA_ADDRESS, kMac).with(IFLA_IFNAME, "eth1");
  NeighbourMessage neighbour(RTM_NEWNEIGH, neighbour_header(AF_INET, NUD_REACHABLE));
  neighbour.with(NDA_LLADDR, kMac).with(NDA_DST, address("10.0.1.11"));
  for (uint32_t length = NLMSG_HDRLEN; length < link.get().nlmsg_len; length += NLMSG_ALIGNTO) {
    LinkMessage cut = link;
    cut.get().nlmsg_len = length;
    EXPECT_FALSE(parse_link(cut.get())) << length;
  }
  for (uint32_t length = NLMSG_HDRLEN; length < neighbour.get().nlmsg_len; length += NLMSG_ALIGNTO) {
    NeighbourMessage cut = neighbour;
    cut.get().nlmsg_len = length;
    EXPECT_FALSE(parse_neighbour(cut.get())) << length;
  }
  RouteMessage route(RTM_NEWROUTE, route_header(AF_INET));
  route.get().nlmsg_len = NLMSG_HDRLEN + sizeof(rtmsg) - 1;
  EXPECT_FALSE(parse_route(route.get()));
  EXPECT_FALSE(parse_route_destination(route.get()));
}

TEST(Rtnetlink, ALookUpNamesTheWholeAddress) {
  const Request request = route_request(address("fd00::1"));
  EXPECT_EQ(request.header().nlmsg_type, RTM_GETROUTE);
  const auto* header = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(&request.header()));
  EXPECT_EQ(header->rtm_family, AF_INET6);
  EXPECT_EQ(header->rtm_dst_len, 128);
}

TEST(Rtnetlink, AUseOfANeighbourCreatesItAndChangesNothingElse) {
  const Request request = neighbour_use_request({5, address("10.0.1.11")});
  EXPECT_EQ(request.header().nlmsg_type, RTM_NEWNEIGH);
  EXPECT_EQ(request.header().nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE);
  const auto* header = static_cast<const ndmsg*>(mnl_nlmsg_get_payload(&request.header()));
  EXPECT_EQ(header->ndm_flags, NTF_USE);
  EXPECT_EQ(header->ndm_state, NUD_NONE);
  EXPECT_EQ(parse_neighbour(request.header()).value().key, (NeighbourKey{5, address("10.0.1.11")}));
}

}  // namespace
}  // namespace sluice::control
