#include "control/announcer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

namespace sluice::control {

namespace {

/// Sends one request and waits for the kernel's answer, which comes at once; errno, or 0.
int request(mnl_socket* socket, nlmsghdr* message) {
  static uint32_t sequence = 0;
  message->nlmsg_seq = ++sequence;
  if (mnl_socket_sendto(socket, message, message->nlmsg_len) < 0) return errno;
  std::array<char, 8192> answer;
  const ssize_t length = mnl_socket_recvfrom(socket, answer.data(), answer.size());
  if (length < 0) return errno;
  const int done = mnl_cb_run(answer.data(), static_cast<size_t>(length), message->nlmsg_seq,
                              mnl_socket_get_portid(socket), nullptr, nullptr);
  return done < 0 ? errno : 0;
}

/// No link-local address on the device: it would be exported beside the VIPs. Best effort: a host without
/// IPv6 has no such file.
void forbid_link_local(const std::string& device) {
  std::ofstream mode(fmt::format("/proc/sys/net/ipv6/conf/{}/addr_gen_mode", device));
  mode << "1";  // IN6_ADDR_GEN_MODE_NONE
}

int set_up(mnl_socket* socket, int index) {
  std::array<char, 256> buffer{};
  nlmsghdr* message = mnl_nlmsg_put_header(buffer.data());
  message->nlmsg_type = RTM_NEWLINK;
  message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  auto* link = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg)));
  link->ifi_family = AF_UNSPEC;
  link->ifi_index = index;
  link->ifi_flags = IFF_UP;
  link->ifi_change = IFF_UP;
  return request(socket, message);
}

/// Makes a TUN device that lives as long as the descriptor.
Result<int> make_tun(const std::string& device) {
  const int tun = ::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (tun < 0) {
    return fail(
        fmt::format("cannot open /dev/net/tun: {}; announcing needs it and CAP_NET_ADMIN", strerror(errno)));
  }
  ifreq wanted{};
  std::strncpy(wanted.ifr_name, device.c_str(), sizeof wanted.ifr_name - 1);
  wanted.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (ioctl(tun, TUNSETIFF, &wanted) != 0) {
    const int error = errno;
    ::close(tun);
    return fail(fmt::format("cannot make the announcement device '{}': {}{}", device, strerror(error),
                            error == EBUSY   ? "; another sluiced on this host has it: set announce.device"
                            : error == EPERM ? "; start as root or with CAP_NET_ADMIN"
                                             : ""));
  }
  return tun;
}

}  // namespace

Result<Announcer> Announcer::open(const std::string& device) {
  if (device.empty() || device.size() >= IFNAMSIZ) {
    return fail(
        fmt::format("announcement device name '{}' must have 1 to {} characters", device, IFNAMSIZ - 1));
  }
  const auto tun = make_tun(device);
  if (!tun) return tl::unexpected(tun.error());
  mnl_socket* netlink = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
  Announcer announcer(device, *tun, netlink, static_cast<int>(if_nametoindex(device.c_str())));
  if (netlink == nullptr || mnl_socket_bind(netlink, 0, MNL_SOCKET_AUTOPID) < 0) {
    return fail(fmt::format("no netlink socket: {}", strerror(errno)));
  }
  forbid_link_local(device);
  if (const int error = set_up(netlink, announcer.index_); error != 0) {
    return fail(fmt::format("cannot set device '{}' up: {}", device, strerror(error)));
  }
  return announcer;
}

Announcer::Announcer(Announcer&& other) noexcept
    : device_(std::move(other.device_)),
      tun_(std::exchange(other.tun_, -1)),
      netlink_(std::exchange(other.netlink_, nullptr)),
      index_(other.index_),
      announced_(std::move(other.announced_)) {}

Announcer::~Announcer() {
  if (netlink_ != nullptr) mnl_socket_close(netlink_);
  if (tun_ >= 0) ::close(tun_);
}

Result<void> Announcer::announce(const std::vector<Prefix>& addresses) {
  std::vector<Prefix> wanted = addresses;
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  std::vector<Prefix> added, removed;
  std::set_difference(wanted.begin(), wanted.end(), announced_.begin(), announced_.end(),
                      std::back_inserter(added));
  std::set_difference(announced_.begin(), announced_.end(), wanted.begin(), wanted.end(),
                      std::back_inserter(removed));
  Result<void> outcome;
  for (const auto& [prefixes, add] : {std::pair{&added, true}, std::pair{&removed, false}}) {
    for (const Prefix& prefix : *prefixes) {
      if (auto changed = change(prefix, add); !changed) {
        outcome = changed;
        continue;
      }
      if (add) {
        announced_.insert(std::upper_bound(announced_.begin(), announced_.end(), prefix), prefix);
      } else {
        announced_.erase(std::lower_bound(announced_.begin(), announced_.end(), prefix));
      }
    }
  }
  return outcome;
}

Result<void> Announcer::change(const Prefix& address, bool add) {
  std::array<char, 256> buffer{};
  nlmsghdr* message = mnl_nlmsg_put_header(buffer.data());
  message->nlmsg_type = add ? RTM_NEWADDR : RTM_DELADDR;
  message->nlmsg_flags =
      static_cast<uint16_t>(NLM_F_REQUEST | NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_REPLACE : 0));
  auto* header = static_cast<ifaddrmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ifaddrmsg)));
  const bool is_v4 = address.family() == Family::kIpv4;
  header->ifa_family = is_v4 ? AF_INET : AF_INET6;
  header->ifa_prefixlen = static_cast<uint8_t>(address.length());
  header->ifa_index = static_cast<uint32_t>(index_);
  const void* bytes = is_v4 ? address.address().v4_bytes() : address.address().bytes().data();
  const size_t length = is_v4 ? 4 : 16;
  mnl_attr_put(message, IFA_LOCAL, length, bytes);
  mnl_attr_put(message, IFA_ADDRESS, length, bytes);
  // Many nodes have the same VIP on purpose: nobody else's claim to it is a conflict.
  if (add && !is_v4) mnl_attr_put_u32(message, IFA_FLAGS, IFA_F_NODAD);
  const int error = request(netlink_, message);
  // Somebody else may have removed it already.
  if (error == 0 || (!add && error == EADDRNOTAVAIL)) return {};
  return fail(fmt::format("cannot {} {} {} device '{}': {}", add ? "add" : "remove", address.to_string(),
                          add ? "to" : "from", device_, strerror(error)));
}

}  // namespace sluice::control
