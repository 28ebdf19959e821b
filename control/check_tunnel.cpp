#include "control/check_tunnel.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "control/health/socket_error.h"

namespace sluice::control {

using boost::asio::posix::descriptor_base;

namespace {

/// Small enough for any path: IPv6's least, and the outer header on top stays below 1500.
constexpr uint32_t kMtu = 1280;
/// Devices of this host that can have IPv4 addresses of their own.
constexpr uint32_t kMaxDevices = 128;
/// Packets of one kind before others get their turn.
constexpr int kBatch = 256;

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

SocketAddress socket_address(const IpAddress& address, uint16_t port, int scope = 0) {
  SocketAddress made;
  if (address.is_v4()) {
    auto& ipv4 = reinterpret_cast<sockaddr_in&>(made.storage);
    ipv4.sin_family = AF_INET;
    ipv4.sin_port = htons(port);
    std::memcpy(&ipv4.sin_addr, address.v4_bytes(), sizeof ipv4.sin_addr);
    made.size = sizeof ipv4;
  } else {
    auto& ipv6 = reinterpret_cast<sockaddr_in6&>(made.storage);
    ipv6.sin6_family = AF_INET6;
    ipv6.sin6_port = htons(port);
    ipv6.sin6_scope_id = static_cast<uint32_t>(scope);
    std::memcpy(&ipv6.sin6_addr, address.bytes().data(), sizeof ipv6.sin6_addr);
    made.size = sizeof ipv6;
  }
  return made;
}

/// Address and port that a socket is bound to.
std::pair<IpAddress, uint16_t> own_address(int socket) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return {};
  if (storage.ss_family == AF_INET) {
    const auto& ipv4 = reinterpret_cast<const sockaddr_in&>(storage);
    return {IpAddress::v4(reinterpret_cast<const uint8_t*>(&ipv4.sin_addr)), ntohs(ipv4.sin_port)};
  }
  const auto& ipv6 = reinterpret_cast<const sockaddr_in6&>(storage);
  IpAddress::Bytes bytes;
  std::memcpy(bytes.data(), &ipv6.sin6_addr, bytes.size());
  return {IpAddress::v6(bytes), ntohs(ipv6.sin6_port)};
}

uint32_t flow_key(Protocol protocol, uint16_t port) {
  return uint32_t{static_cast<uint8_t>(protocol)} << 16 | port;
}

CheckResult failure_of(int error) {
  return socket_failure(boost::system::error_code(error, boost::system::system_category()));
}

/// IPv4 addresses on the TUN: a pair of RFC 3927's range for each number. They never leave this host.
IpAddress link_local_ipv4(uint32_t number, uint8_t last_bit) {
  return IpAddress::v4(169, 254, 143, static_cast<uint8_t>(2 * number + last_bit));
}

IpAddress link_local_ipv6(uint8_t last) {
  IpAddress::Bytes bytes{0xfe, 0x80};
  bytes[15] = last;
  return IpAddress::v6(bytes);
}

/// Behind the prefix of its name.
uint32_t number_of(const std::string& device) {
  const auto digits = device.find_first_of("0123456789");
  return digits == std::string::npos ? 0 : static_cast<uint32_t>(std::stoul(device.substr(digits)));
}

constexpr const char* kDevicePattern = "sluice-hc%d";

}  // namespace

Result<std::unique_ptr<CheckTunnel>> CheckTunnel::open(boost::asio::io_context& io,
                                                       const bpf::ReplyFilter& filter) {
  auto tun = TunDevice::open({.name = kDevicePattern, .mtu = kMtu, .name_taken = ""});
  if (!tun) return fail("health checks with via: tunnel: " + tun.error().message);
  const uint32_t number = number_of(tun->name());
  if (number >= kMaxDevices) {
    return fail(fmt::format("health checks with via: tunnel: there are {} devices like '{}' already", number,
                            tun->name()));
  }
  std::unique_ptr<CheckTunnel> made(new CheckTunnel(io, *std::move(tun), filter, number));
  auto ready = made->add_addresses();
  if (ready) ready = made->open_raw(Family::kIpv4);
  if (ready && made->has_ipv6_) ready = made->open_raw(Family::kIpv6);
  if (ready) ready = made->open_replies();
  if (!ready) return fail("health checks with via: tunnel: " + ready.error().message);
  made->wait_for_packets();
  made->wait_for_replies();
  return made;
}

CheckTunnel::CheckTunnel(boost::asio::io_context& io, TunDevice tun, const bpf::ReplyFilter& filter,
                         uint32_t number)
    : tun_(std::move(tun)),
      filter_(filter),
      ends_ipv4_{link_local_ipv4(number, 0), link_local_ipv4(number, 1)},
      ends_ipv6_{link_local_ipv6(2), link_local_ipv6(3)},
      packets_(io),
      replies_(io) {
  packets_.assign(::fcntl(tun_.descriptor(), F_DUPFD_CLOEXEC, 0));
}

Result<void> CheckTunnel::add_addresses() {
  constexpr int kBothEndsIpv4 = 31;   // RFC 3021
  constexpr int kBothEndsIpv6 = 127;  // RFC 6164
  // A host without IPv6 checks IPv4 VIPs.
  has_ipv6_ =
      tun_.add_address(Prefix(ends_ipv6_.socket, kBothEndsIpv6), TunDevice::Scope::kDevice).has_value();
  return tun_.add_address(Prefix(ends_ipv4_.socket, kBothEndsIpv4), TunDevice::Scope::kDevice);
}

Result<void> CheckTunnel::open_raw(Family family) {
  const bool is_v4 = family == Family::kIpv4;
  // Of protocol GRE, so that ICMP errors about what we send come to its error queue.
  const int fd = ::socket(is_v4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, kProtocolGre);
  if (fd < 0) return fail(fmt::format("no raw socket: {}; it needs CAP_NET_RAW", strerror(errno)));
  raw(family) = bpf::FileDescriptor(fd);
  const int on = 1;
  // GRE that comes to this host is none of our business.
  sock_filter take_none = BPF_STMT(BPF_RET | BPF_K, 0);
  const sock_fprog filter{1, &take_none};
  const int level = is_v4 ? IPPROTO_IP : IPPROTO_IPV6;
  if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0 ||
      ::setsockopt(fd, level, is_v4 ? IP_HDRINCL : IPV6_HDRINCL, &on, sizeof on) != 0 ||
      ::setsockopt(fd, level, is_v4 ? IP_RECVERR : IPV6_RECVERR, &on, sizeof on) != 0) {
    return fail(fmt::format("cannot set up a raw socket: {}", strerror(errno)));
  }
  return {};
}

Result<void> CheckTunnel::open_replies() {
  // Protocol 0: nothing comes before the filter is there.
  const int fd = ::socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail(fmt::format("no packet socket: {}; it needs CAP_NET_RAW", strerror(errno)));
  replies_.assign(fd);
  if (auto filtered = filter_.attach_to(fd); !filtered) return filtered;
  const int on = 1;
  sockaddr_ll everywhere{};
  everywhere.sll_family = AF_PACKET;
  everywhere.sll_protocol = htons(ETH_P_ALL);
  if (::setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) != 0 ||
      ::bind(fd, reinterpret_cast<sockaddr*>(&everywhere), sizeof everywhere) != 0) {
    return fail(fmt::format("cannot set up a packet socket: {}", strerror(errno)));
  }
  return {};
}

Result<void> CheckTunnel::configure(const Tunnel& tunnel, std::vector<IpAddress> vips) {
  std::vector<Prefix> wanted;
  for (const IpAddress& vip : vips) wanted.emplace_back(vip);
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  for (const Prefix& vip : wanted) {
    // What the kernel says to a VIP that it does not know, to an answer that we have taken, ends in the
    // device.
    if (auto added = tun_.add_route(vip); !added) return added;
  }
  if (auto set = filter_.set_sources(wanted); !set) return set;
  std::vector<Prefix> gone;
  std::set_difference(vips_.begin(), vips_.end(), wanted.begin(), wanted.end(), std::back_inserter(gone));
  for (const Prefix& vip : gone) (void)tun_.remove_route(vip);
  tunnel_ = tunnel;
  vips_ = std::move(wanted);
  return {};
}

tl::expected<TunnelPath::Way, CheckResult> CheckTunnel::lead(int socket, Protocol protocol,
                                                             const HealthTarget& target) {
  const IpAddress& vip = *target.vip;
  if (vip.is_v6() && !has_ipv6_) {
    return tl::unexpected(CheckResult::not_run("check not run: IPv6 is off on this node"));
  }
  const auto& source = target.address.is_v4() ? tunnel_.source_ipv4 : tunnel_.source_ipv6;
  if (!source) return tl::unexpected(CheckResult::not_run("check not run: the tunnel has no source address"));
  const auto node = node_address(target);
  if (!node) return tl::unexpected(node.error());
  // Packets of the flow that had the port before: first they.
  take_packets();
  const Ends& ends = this->ends(vip.family());
  const auto own = socket_address(ends.socket, 0, tun_.index());
  if (::setsockopt(socket, SOL_SOCKET, SO_BINDTODEVICE, tun_.name().c_str(),
                   static_cast<socklen_t>(tun_.name().size())) != 0 ||
      ::bind(socket, own.get(), own.size) != 0) {
    return tl::unexpected(CheckResult::not_run(fmt::format("check not run: {}", strerror(errno))));
  }
  flows_[flow_key(protocol, own_address(socket).second)] =
      Flow{*node, vip, target.address,
           make_outer_header(tunnel_, *source, target.address, MacAddress(), MacAddress())};
  refusals_.erase(target.address);
  return Way{ends.backend, vip.is_v6() ? static_cast<uint32_t>(tun_.index()) : 0};
}

tl::expected<IpAddress, CheckResult> CheckTunnel::node_address(const HealthTarget& target) const {
  const Family family = target.vip->family();
  // Whatever the kernel would take towards the backend. For a VIP of the other family, towards anywhere: a
  // documentation address (RFC 5737, RFC 3849) goes by the default route. Connecting UDP sends nothing.
  const IpAddress anywhere =
      family == Family::kIpv4 ? IpAddress::v4(192, 0, 2, 1) : IpAddress::v6({0x20, 0x01, 0x0d, 0xb8});
  const bool same_family = target.address.family() == family;
  const auto towards = socket_address(same_family ? target.address : anywhere, 9);
  const bpf::FileDescriptor probe(
      ::socket(family == Family::kIpv4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!probe) return tl::unexpected(failure_of(errno));
  if (::connect(probe.get(), towards.get(), towards.size) != 0) {
    if (same_family) return tl::unexpected(failure_of(errno));
    return tl::unexpected(CheckResult::not_run(fmt::format(
        "check not run: this node has no address to check VIP {} from: it needs a default route of IPv{}",
        target.vip->to_string(), family == Family::kIpv4 ? 4 : 6)));
  }
  return own_address(probe.get()).first;
}

void CheckTunnel::wait_for_packets() {
  packets_.async_wait(descriptor_base::wait_read, [this, alive = std::weak_ptr(alive_)](const auto& error) {
    if (error || alive.expired()) return;
    take_packets();
    wait_for_packets();
  });
}

void CheckTunnel::wait_for_replies() {
  replies_.async_wait(descriptor_base::wait_read, [this, alive = std::weak_ptr(alive_)](const auto& error) {
    if (error || alive.expired()) return;
    take_replies();
    wait_for_replies();
  });
}

void CheckTunnel::take_packets() {
  uint8_t* const inner = buffer_.data() + kHeadroom;
  for (int i = 0; i < kBatch; ++i) {
    const ssize_t bytes = ::read(tun_.descriptor(), inner, buffer_.size() - kHeadroom);
    if (bytes <= 0) return;
    send({inner, static_cast<size_t>(bytes)});
  }
}

void CheckTunnel::take_replies() {
  uint8_t* const inner = buffer_.data() + kHeadroom;
  for (int i = 0; i < kBatch; ++i) {
    const ssize_t bytes = ::recv(replies_.native_handle(), inner, buffer_.size() - kHeadroom, 0);
    if (bytes <= 0) return;
    receive({inner, static_cast<size_t>(bytes)});
  }
}

void CheckTunnel::send(std::span<uint8_t> packet) {
  const auto found = read_check_packet(packet);
  if (!found || found->is_icmp_error) return;
  const FiveTuple& local = found->flow;
  const Ends& ends = this->ends(local.source.family());
  if (local.source != ends.socket || local.destination != ends.backend) return;
  const auto entry = flows_.find(flow_key(static_cast<Protocol>(local.protocol), local.source_port.host()));
  if (entry == flows_.end()) return;
  const Flow& flow = entry->second;
  readdress(packet, flow.node, flow.vip);

  const FiveTuple real{flow.node, flow.vip, local.source_port, local.destination_port, local.protocol};
  const InnerPacket inner{flow.vip.is_v4() ? kEtherTypeIpv4 : kEtherTypeIpv6, found->length,
                          found->traffic_class, flow_hash(SipKey{}, real)};
  flow.outer.write_before(packet.data(), inner, ++packet_id_, false);
  const size_t outer_length = flow.outer.overhead();
  const auto to = socket_address(flow.backend, 0);
  const int socket = raw(flow.backend.family()).get();
  const auto send_once = [&] {
    return ::sendto(socket, packet.data() - outer_length, outer_length + found->length, 0, to.get(), to.size);
  };
  // The first may return the error of an earlier packet, which stands in the error queue too.
  if (send_once() < 0 && send_once() < 0) refusals_[flow.backend].error = errno;
}

void CheckTunnel::receive(std::span<uint8_t> packet) {
  const auto found = read_check_packet(packet);
  if (!found) return;
  const FiveTuple& real = found->flow;
  const auto entry =
      flows_.find(flow_key(static_cast<Protocol>(real.protocol), real.destination_port.host()));
  if (entry == flows_.end()) return;
  const Flow& flow = entry->second;
  if (real.source != flow.vip || real.destination != flow.node) return;
  const Ends& ends = this->ends(flow.vip.family());
  readdress(packet, ends.backend, ends.socket);
  // A full device loses it, as a wire would.
  (void)!::write(tun_.descriptor(), packet.data(), found->length);
}

void CheckTunnel::read_refusals(Family family) {
  const bool is_v4 = family == Family::kIpv4;
  const int socket = raw(family).get();
  std::array<uint8_t, 512> about;
  alignas(cmsghdr) std::array<uint8_t, 512> control;
  for (int i = 0; i < kBatch; ++i) {
    iovec bytes{about.data(), about.size()};
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t length = ::recvmsg(socket, &message, MSG_ERRQUEUE | MSG_DONTWAIT);
    if (length < 0) return;
    const size_t destination = is_v4 ? 16 : 24;
    if (static_cast<size_t>(length) < destination + (is_v4 ? 4 : 16)) continue;
    IpAddress::Bytes long_address;
    std::copy_n(about.data() + 24, long_address.size(), long_address.begin());
    const IpAddress backend = is_v4 ? IpAddress::v4(about.data() + destination) : IpAddress::v6(long_address);
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
      if (part->cmsg_type != (is_v4 ? IP_RECVERR : IPV6_RECVERR)) continue;
      sock_extended_err what{};
      std::memcpy(&what, CMSG_DATA(part), sizeof what);
      if (what.ee_origin != SO_EE_ORIGIN_ICMP && what.ee_origin != SO_EE_ORIGIN_ICMP6) continue;
      refusals_[backend] = {0, what.ee_type, what.ee_code};
    }
  }
}

std::string CheckTunnel::advice(const HealthTarget& target) {
  const bool is_v4 = target.address.is_v4();
  read_refusals(target.address.family());
  const auto found = refusals_.find(target.address);
  if (found == refusals_.end()) {
    return fmt::format(
        "is {} an address of the backend (`ip address add {}/{} dev lo`), and does it "
        "decapsulate GRE (`sluice-backend status`)?",
        target.vip->to_string(), target.vip->to_string(), target.vip->bits());
  }
  const Refusal& refusal = found->second;
  if (refusal.error != 0) return fmt::format("cannot send to the backend: {}", strerror(refusal.error));
  const bool no_gre =
      is_v4 ? refusal.icmp_type == ICMP_DEST_UNREACH &&
                  (refusal.icmp_code == ICMP_PROT_UNREACH || refusal.icmp_code == ICMP_PORT_UNREACH)
            : (refusal.icmp_type == ICMP6_PARAM_PROB && refusal.icmp_code == ICMP6_PARAMPROB_NEXTHEADER) ||
                  (refusal.icmp_type == ICMP6_DST_UNREACH && refusal.icmp_code == ICMP6_DST_UNREACH_NOPORT);
  if (no_gre) {
    return "the backend refuses GRE (ICMP says so): attach its agent (`sluice-backend attach`) or give it a "
           "GRE device";
  }
  return fmt::format("a packet through the tunnel came back (ICMP type {}, code {}): see the routes to {}",
                     refusal.icmp_type, refusal.icmp_code, target.address.to_string());
}

}  // namespace sluice::control
