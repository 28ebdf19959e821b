#include "control/tun_device.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>
#include <vector>

namespace sluice::control {

namespace {

/// One netlink request to the kernel, being put together.
class Message {
 public:
  Message(uint16_t type, uint16_t flags) : header_(mnl_nlmsg_put_header(buffer_.data())) {
    header_->nlmsg_type = type;
    header_->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
  }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  /// The fixed part behind the header; first of all.
  template <typename Fixed>
  Fixed& fixed() {
    return *static_cast<Fixed*>(mnl_nlmsg_put_extra_header(header_, sizeof(Fixed)));
  }
  void put(uint16_t type, uint32_t value) { mnl_attr_put_u32(header_, type, value); }
  void put(uint16_t type, const IpAddress& address) {
    mnl_attr_put(header_, type, address.is_v4() ? 4 : 16,
                 address.is_v4() ? static_cast<const void*>(address.v4_bytes()) : address.bytes().data());
  }

  const nlmsghdr* header() const { return header_; }
  nlmsghdr* header() { return header_; }

 private:
  alignas(nlmsghdr) std::array<char, 256> buffer_{};
  nlmsghdr* header_;
};

/// Sends requests in one go and waits for the kernel's answers, which come at once; errno of each, or 0.
template <size_t kCount>
std::array<int, kCount> ask(mnl_socket* socket, const std::array<Message*, kCount>& messages) {
  static uint32_t sequence = 0;
  std::array<int, kCount> errors;
  errors.fill(EPROTO);
  std::vector<char> request;
  for (Message* message : messages) {
    message->header()->nlmsg_seq = ++sequence;
    const auto* bytes = reinterpret_cast<const char*>(message->header());
    request.insert(request.end(), bytes, bytes + NLMSG_ALIGN(message->header()->nlmsg_len));
  }
  if (mnl_socket_sendto(socket, request.data(), request.size()) < 0) {
    errors.fill(errno);
    return errors;
  }
  alignas(nlmsghdr) std::array<char, 8192> answers;
  for (size_t answered = 0; answered < kCount;) {
    const ssize_t length = mnl_socket_recvfrom(socket, answers.data(), answers.size());
    if (length < 0) break;
    int left = static_cast<int>(length);
    for (auto* answer = reinterpret_cast<nlmsghdr*>(answers.data()); mnl_nlmsg_ok(answer, left);
         answer = mnl_nlmsg_next(answer, &left)) {
      const uint32_t place = answer->nlmsg_seq - messages[0]->header()->nlmsg_seq;
      if (answer->nlmsg_type != NLMSG_ERROR || place >= kCount) continue;
      errors[place] = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(answer))->error;
      ++answered;
    }
  }
  return errors;
}

int ask(mnl_socket* socket, Message& message) {
  return ask(socket, std::array{&message})[0];
}

/// No link-local address but those that we give it: it would be exported beside the VIPs. Best effort: a host
/// without IPv6 has no such file.
void forbid_link_local(const std::string& device) {
  std::ofstream mode(fmt::format("/proc/sys/net/ipv6/conf/{}/addr_gen_mode", device));
  mode << "1";  // IN6_ADDR_GEN_MODE_NONE
}

uint8_t family_of(const Prefix& prefix) {
  return prefix.family() == Family::kIpv4 ? AF_INET : AF_INET6;
}

void describe_address(Message& message, int index, const Prefix& address, TunDevice::Scope scope) {
  auto& header = message.fixed<ifaddrmsg>();
  header.ifa_family = family_of(address);
  header.ifa_prefixlen = static_cast<uint8_t>(address.length());
  header.ifa_scope = scope == TunDevice::Scope::kDevice ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  header.ifa_index = static_cast<uint32_t>(index);
  message.put(IFA_LOCAL, address.address());
  message.put(IFA_ADDRESS, address.address());
  // Many nodes have the same VIP on purpose: nobody else's claim to it is a conflict.
  if (address.family() == Family::kIpv6) message.put(IFA_FLAGS, IFA_F_NODAD);
}

}  // namespace

Result<TunDevice> TunDevice::open(const Options& options) {
  if (options.name.empty() || options.name.size() >= IFNAMSIZ) {
    return fail(fmt::format("device name '{}' must have 1 to {} characters", options.name, IFNAMSIZ - 1));
  }
  TunDevice device(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK),
                   mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
  if (device.tun_ < 0) {
    return fail(fmt::format("cannot open /dev/net/tun: {}; device '{}' needs it and CAP_NET_ADMIN",
                            strerror(errno), options.name));
  }
  if (device.netlink_ == nullptr || mnl_socket_bind(device.netlink_, 0, MNL_SOCKET_AUTOPID) < 0) {
    return fail(fmt::format("no netlink socket: {}", strerror(errno)));
  }
  ifreq wanted{};
  options.name.copy(wanted.ifr_name, sizeof wanted.ifr_name - 1);
  wanted.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (ioctl(device.tun_, TUNSETIFF, &wanted) != 0) {
    const int error = errno;
    return fail(fmt::format("cannot make the TUN device '{}': {}{}", options.name, strerror(error),
                            error == EBUSY   ? "; " + options.name_taken
                            : error == EPERM ? "; start as root or with CAP_NET_ADMIN"
                                             : ""));
  }
  device.name_ = wanted.ifr_name;
  device.index_ = static_cast<int>(if_nametoindex(wanted.ifr_name));
  forbid_link_local(device.name_);
  if (auto up = device.set_up(options.mtu); !up) return tl::unexpected(up.error());
  return device;
}

TunDevice::TunDevice(TunDevice&& other) noexcept
    : name_(std::move(other.name_)),
      tun_(std::exchange(other.tun_, -1)),
      netlink_(std::exchange(other.netlink_, nullptr)),
      index_(other.index_) {}

TunDevice::~TunDevice() {
  if (netlink_ != nullptr) mnl_socket_close(netlink_);
  if (tun_ >= 0) ::close(tun_);
}

void TunDevice::end_first() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  // The kernel's table has an entry for each number up to the highest.
  constexpr rlim_t kHighest = 65535;
  const int high = ::fcntl(tun_, F_DUPFD_CLOEXEC, static_cast<int>(std::min(limit.rlim_cur - 1, kHighest)));
  if (high < 0) return;
  ::close(tun_);
  tun_ = high;
}

Result<void> TunDevice::set_up(uint32_t mtu) {
  Message message(RTM_NEWLINK, 0);
  auto& link = message.fixed<ifinfomsg>();
  link.ifi_family = AF_UNSPEC;
  link.ifi_index = index_;
  link.ifi_flags = IFF_UP;
  link.ifi_change = IFF_UP;
  message.put(IFLA_MTU, mtu);
  if (const int error = ask(netlink_, message); error != 0) {
    return fail(fmt::format("cannot set device '{}' up: {}", name_, strerror(error)));
  }
  return {};
}

Result<void> TunDevice::add_address(const Prefix& address, Scope scope) {
  Message message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
  describe_address(message, index_, address, scope);
  return address_changed(address, true, ask(netlink_, message));
}

Result<void> TunDevice::remove_address(const Prefix& address) {
  Message message(RTM_DELADDR, 0);
  describe_address(message, index_, address, Scope::kGlobal);
  return address_changed(address, false, ask(netlink_, message));
}

Result<void> TunDevice::move_address(TunDevice& other, const Prefix& address) {
  Message remove(RTM_DELADDR, 0);
  describe_address(remove, other.index_, address, Scope::kGlobal);
  Message add(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
  describe_address(add, index_, address, Scope::kGlobal);
  const auto errors = ask(netlink_, std::array{&remove, &add});
  auto removed = other.address_changed(address, false, errors[0]);
  auto added = address_changed(address, true, errors[1]);
  return added ? removed : added;
}

Result<void> TunDevice::address_changed(const Prefix& address, bool add, int error) const {
  // Somebody else may have removed it already.
  if (error == 0 || (!add && error == EADDRNOTAVAIL)) return {};
  return fail(fmt::format("cannot {} {} {} device '{}': {}", add ? "add" : "remove", address.to_string(),
                          add ? "to" : "from", name_, strerror(error)));
}

Result<void> TunDevice::add_route(const Prefix& destination) {
  return change_route(destination, true);
}

Result<void> TunDevice::remove_route(const Prefix& destination) {
  return change_route(destination, false);
}

Result<void> TunDevice::change_route(const Prefix& destination, bool add) {
  Message message(add ? RTM_NEWROUTE : RTM_DELROUTE, add ? NLM_F_CREATE | NLM_F_EXCL : 0);
  auto& route = message.fixed<rtmsg>();
  route.rtm_family = family_of(destination);
  route.rtm_dst_len = static_cast<uint8_t>(destination.length());
  route.rtm_table = RT_TABLE_MAIN;
  route.rtm_protocol = RTPROT_STATIC;
  route.rtm_scope = RT_SCOPE_LINK;
  route.rtm_type = RTN_UNICAST;
  message.put(RTA_DST, destination.address());
  message.put(RTA_OIF, static_cast<uint32_t>(index_));
  const int error = ask(netlink_, message);
  if (error == 0 || error == (add ? EEXIST : ESRCH)) return {};
  return fail(fmt::format("cannot {} the route to {} by device '{}': {}", add ? "add" : "remove",
                          destination.to_string(), name_, strerror(error)));
}

}  // namespace sluice::control
