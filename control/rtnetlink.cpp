#include "control/rtnetlink.h"

#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <cerrno>
#include <cstring>

namespace sluice::control {
namespace {

template <typename Header>
const Header* payload(const nlmsghdr& message) {
  if (mnl_nlmsg_get_payload_len(&message) < sizeof(Header)) {
    return nullptr;
  }
  return static_cast<const Header*>(mnl_nlmsg_get_payload(&message));
}

/// The attribute of this type in an attribute list, or nullptr. libmnl's loop macros are for C.
const nlattr* find_attribute(const void* begin, const void* end, uint16_t type) {
  const auto* attr = static_cast<const nlattr*>(begin);
  const auto left = [&] {
    return static_cast<int>(static_cast<const char*>(end) - reinterpret_cast<const char*>(attr));
  };
  for (; mnl_attr_ok(attr, left()); attr = mnl_attr_next(attr)) {
    if (mnl_attr_get_type(attr) == type) {
      return attr;
    }
  }
  return nullptr;
}

/// The attribute of this type behind a family header, or nullptr.
template <typename Header>
const nlattr* attribute(const nlmsghdr& message, uint16_t type) {
  return find_attribute(mnl_nlmsg_get_payload_offset(&message, sizeof(Header)),
                        mnl_nlmsg_get_payload_tail(&message), type);
}

std::optional<uint32_t> to_u32(const nlattr* attr) {
  if (attr == nullptr || mnl_attr_get_payload_len(attr) != sizeof(uint32_t)) {
    return std::nullopt;
  }
  return mnl_attr_get_u32(attr);
}

std::optional<MacAddress> to_mac(const nlattr* attr) {
  MacAddress::Bytes bytes;
  if (attr == nullptr || mnl_attr_get_payload_len(attr) != bytes.size()) {
    return std::nullopt;
  }
  std::memcpy(bytes.data(), mnl_attr_get_payload(attr), bytes.size());
  return MacAddress(bytes);
}

std::optional<IpAddress> to_address(int family, const uint8_t* bytes, size_t length) {
  if (family == AF_INET && length == 4) {
    return IpAddress::v4(bytes);
  }
  IpAddress::Bytes v6;
  if (family == AF_INET6 && length == v6.size()) {
    std::memcpy(v6.data(), bytes, v6.size());
    return IpAddress::v6(v6);
  }
  return std::nullopt;
}

std::optional<IpAddress> to_address(int family, const nlattr* attr) {
  if (attr == nullptr) {
    return std::nullopt;
  }
  return to_address(family, static_cast<const uint8_t*>(mnl_attr_get_payload(attr)),
                    mnl_attr_get_payload_len(attr));
}

std::optional<std::string> to_name(const nlattr* attr) {
  if (attr == nullptr) {
    return std::nullopt;
  }
  const char* text = static_cast<const char*>(mnl_attr_get_payload(attr));
  return std::string(text, strnlen(text, mnl_attr_get_payload_len(attr)));
}

int family_of(const IpAddress& address) {
  return address.is_v4() ? AF_INET : AF_INET6;
}

void put_address(nlmsghdr& message, uint16_t type, const IpAddress& address) {
  if (address.is_v4()) {
    mnl_attr_put(&message, type, 4, address.v4_bytes());
  } else {
    mnl_attr_put(&message, type, address.bytes().size(), address.bytes().data());
  }
}

NeighbourState to_state(uint16_t nud) {
  if ((nud & (NUD_REACHABLE | NUD_PERMANENT | NUD_NOARP)) != 0) {
    return NeighbourState::kFresh;
  }
  if ((nud & (NUD_DELAY | NUD_PROBE)) != 0) {
    return NeighbourState::kProbing;
  }
  if ((nud & NUD_STALE) != 0) {
    return NeighbourState::kStale;
  }
  if ((nud & NUD_FAILED) != 0) {
    return NeighbourState::kFailed;
  }
  return NeighbourState::kUnresolved;
}

RouteKind to_kind(uint8_t type) {
  switch (type) {
    case RTN_UNICAST:
      return RouteKind::kUnicast;
    case RTN_LOCAL:
      return RouteKind::kLocal;
    case RTN_BROADCAST:
    case RTN_ANYCAST:
      return RouteKind::kBroadcast;
    case RTN_MULTICAST:
      return RouteKind::kMulticast;
    case RTN_BLACKHOLE:
      return RouteKind::kBlackhole;
    case RTN_UNREACHABLE:
      return RouteKind::kUnreachable;
    case RTN_PROHIBIT:
      return RouteKind::kProhibited;
    default:
      return RouteKind::kOther;
  }
}

/// RTA_GATEWAY has the route's family; RTA_VIA names its own (an IPv4 route by an IPv6 gateway, RFC 5549).
std::optional<IpAddress> gateway_of(const nlmsghdr& message, int family) {
  if (const nlattr* gateway = attribute<rtmsg>(message, RTA_GATEWAY)) {
    return to_address(family, gateway);
  }
  const nlattr* via = attribute<rtmsg>(message, RTA_VIA);
  if (via == nullptr || mnl_attr_get_payload_len(via) < sizeof(rtvia)) {
    return std::nullopt;
  }
  const auto* value = static_cast<const rtvia*>(mnl_attr_get_payload(via));
  return to_address(value->rtvia_family, value->rtvia_addr, mnl_attr_get_payload_len(via) - sizeof(rtvia));
}

uint32_t mtu_of(const nlmsghdr& message) {
  const nlattr* metrics = attribute<rtmsg>(message, RTA_METRICS);
  if (metrics == nullptr) {
    return 0;
  }
  const auto* begin = static_cast<const char*>(mnl_attr_get_payload(metrics));
  return to_u32(find_attribute(begin, begin + mnl_attr_get_payload_len(metrics), RTAX_MTU)).value_or(0);
}

}  // namespace

std::optional<LinkChange> parse_link(const nlmsghdr& message) {
  if (message.nlmsg_type != RTM_NEWLINK && message.nlmsg_type != RTM_DELLINK) {
    return std::nullopt;
  }
  const auto* info = payload<ifinfomsg>(message);
  if (info == nullptr || info->ifi_family != AF_UNSPEC) {
    return std::nullopt;
  }
  const auto name = to_name(attribute<ifinfomsg>(message, IFLA_IFNAME));
  if (!name) {
    return std::nullopt;
  }
  LinkChange change;
  change.gone = message.nlmsg_type == RTM_DELLINK;
  change.link = {.index = static_cast<uint32_t>(info->ifi_index),
                 .name = *name,
                 .mac = to_mac(attribute<ifinfomsg>(message, IFLA_ADDRESS)),
                 .mtu = to_u32(attribute<ifinfomsg>(message, IFLA_MTU)).value_or(0),
                 .up = (info->ifi_flags & IFF_UP) != 0,
                 .running = (info->ifi_flags & IFF_UP) != 0 && (info->ifi_flags & IFF_RUNNING) != 0};
  return change;
}

std::optional<NeighbourChange> parse_neighbour(const nlmsghdr& message) {
  if (message.nlmsg_type != RTM_NEWNEIGH && message.nlmsg_type != RTM_DELNEIGH) {
    return std::nullopt;
  }
  const auto* info = payload<ndmsg>(message);
  if (info == nullptr || (info->ndm_flags & NTF_PROXY) != 0) {
    return std::nullopt;
  }
  const auto address = to_address(info->ndm_family, attribute<ndmsg>(message, NDA_DST));
  if (!address) {
    return std::nullopt;
  }
  NeighbourChange change{.key = {static_cast<uint32_t>(info->ndm_ifindex), *address}, .neighbour = {}};
  if (message.nlmsg_type == RTM_NEWNEIGH) {
    change.neighbour =
        Neighbour{.state = to_state(info->ndm_state), .mac = to_mac(attribute<ndmsg>(message, NDA_LLADDR))};
  }
  return change;
}

std::optional<Route> parse_route(const nlmsghdr& message) {
  const auto* info = payload<rtmsg>(message);
  if (message.nlmsg_type != RTM_NEWROUTE || info == nullptr) {
    return std::nullopt;
  }
  return Route{.kind = to_kind(info->rtm_type),
               .interface_index = to_u32(attribute<rtmsg>(message, RTA_OIF)).value_or(0),
               .gateway = gateway_of(message, info->rtm_family),
               .mtu = mtu_of(message)};
}

Route route_of_error(int error) {
  switch (error) {
    case ENETUNREACH:
      return {.kind = RouteKind::kNone};
    case EHOSTUNREACH:
      return {.kind = RouteKind::kUnreachable};
    case EACCES:
      return {.kind = RouteKind::kProhibited};
    case EINVAL:
      return {.kind = RouteKind::kBlackhole};
    default:
      return {.kind = RouteKind::kOther, .error = error};
  }
}

std::optional<Prefix> parse_route_destination(const nlmsghdr& message) {
  if (message.nlmsg_type != RTM_NEWROUTE && message.nlmsg_type != RTM_DELROUTE) {
    return std::nullopt;
  }
  const auto* info = payload<rtmsg>(message);
  if (info == nullptr || (info->rtm_family != AF_INET && info->rtm_family != AF_INET6)) {
    return std::nullopt;
  }
  const IpAddress any = info->rtm_family == AF_INET ? IpAddress() : IpAddress::v6({});
  const nlattr* destination = attribute<rtmsg>(message, RTA_DST);
  const auto address = destination == nullptr ? any : to_address(info->rtm_family, destination);
  if (!address || info->rtm_dst_len > address->bits()) {
    return std::nullopt;
  }
  return Prefix(*address, info->rtm_dst_len);
}

Request::Request(uint16_t type, uint16_t flags) {
  nlmsghdr* message = mnl_nlmsg_put_header(bytes_.data());
  message->nlmsg_type = type;
  message->nlmsg_flags = flags;
}

Request route_request(const IpAddress& address) {
  Request request(RTM_GETROUTE, NLM_F_REQUEST);
  auto* info = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(&request.header(), sizeof(rtmsg)));
  info->rtm_family = static_cast<uint8_t>(family_of(address));
  info->rtm_dst_len = static_cast<uint8_t>(address.bits());
  put_address(request.header(), RTA_DST, address);
  return request;
}

Request neighbour_use_request(const NeighbourKey& key) {
  Request request(RTM_NEWNEIGH, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE);
  auto* info = static_cast<ndmsg*>(mnl_nlmsg_put_extra_header(&request.header(), sizeof(ndmsg)));
  info->ndm_family = static_cast<uint8_t>(family_of(key.address));
  info->ndm_ifindex = static_cast<int>(key.interface_index);
  info->ndm_state = NUD_NONE;
  info->ndm_flags = NTF_USE;
  put_address(request.header(), NDA_DST, key.address);
  return request;
}

Request link_dump_request() {
  Request request(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP);
  mnl_nlmsg_put_extra_header(&request.header(), sizeof(ifinfomsg));
  return request;
}

Request neighbour_dump_request() {
  Request request(RTM_GETNEIGH, NLM_F_REQUEST | NLM_F_DUMP);
  mnl_nlmsg_put_extra_header(&request.header(), sizeof(ndmsg));
  return request;
}

}  // namespace sluice::control
