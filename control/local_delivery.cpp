#include "control/local_delivery.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <fstream>

#include "dataplane/bpf/file_descriptor.h"

namespace sluice {
namespace {

sockaddr_storage socket_address(const IpAddress& address) {
  sockaddr_storage storage{};
  constexpr uint16_t kAnyPort = 9;
  if (address.is_v4()) {
    auto* ipv4 = reinterpret_cast<sockaddr_in*>(&storage);
    ipv4->sin_family = AF_INET;
    ipv4->sin_port = htons(kAnyPort);
    std::memcpy(&ipv4->sin_addr, address.v4_bytes(), sizeof(ipv4->sin_addr));
  } else {
    auto* ipv6 = reinterpret_cast<sockaddr_in6*>(&storage);
    ipv6->sin6_family = AF_INET6;
    ipv6->sin6_port = htons(kAnyPort);
    std::memcpy(&ipv6->sin6_addr, address.bytes().data(), sizeof(ipv6->sin6_addr));
  }
  return storage;
}

IpAddress ip_address(const sockaddr_storage& storage) {
  if (storage.ss_family == AF_INET) {
    auto* ipv4 = reinterpret_cast<const sockaddr_in*>(&storage);
    return IpAddress::v4(reinterpret_cast<const uint8_t*>(&ipv4->sin_addr));
  }
  IpAddress::Bytes bytes{};
  std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_addr, bytes.size());
  return IpAddress::v6(bytes);
}

/// Whether the address is this host's own: the kernel would reach it from itself, and anything else from
/// another address. Connecting a UDP socket asks the routes and sends nothing.
bool is_local(const IpAddress& address) {
  sockaddr_storage destination = socket_address(address);
  bpf::FileDescriptor socket(::socket(destination.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_storage own{};
  socklen_t size = sizeof(own);
  return socket &&
         ::connect(socket.get(), reinterpret_cast<sockaddr*>(&destination), sizeof(destination)) == 0 &&
         ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&own), &size) == 0 &&
         ip_address(own) == address;
}

int rp_filter(const std::string& interface) {
  int value = 0;
  std::ifstream("/proc/sys/net/ipv4/conf/" + interface + "/rp_filter") >> value;
  return value;
}

}  // namespace

std::vector<std::string> local_delivery_warnings(const std::string& interface, std::span<const Prefix> vips) {
  std::vector<std::string> warnings;
  for (const Prefix& vip : vips) {
    if (vip.is_host() && !is_local(vip.address())) {
      warnings.push_back(fmt::format(
          "VIP {0} is not an address of this host, which will not accept its packets; add it with "
          "`ip addr add {0}/{1} dev lo`",
          vip.to_string(), vip.length()));
    }
  }
  bool any_ipv4 =
      std::any_of(vips.begin(), vips.end(), [](const Prefix& vip) { return vip.address().is_v4(); });
  // The kernel takes the larger of the two; 1 is strict, 2 is loose.
  constexpr int kStrict = 1;
  if (any_ipv4 && std::max(rp_filter("all"), rp_filter(interface)) == kStrict) {
    warnings.push_back(
        fmt::format("rp_filter on {0} is strict: packets of clients whose route does not leave by {0} are "
                    "dropped; `sysctl -w net/ipv4/conf/{0}/rp_filter=2` makes it loose",
                    interface));
  }
  return warnings;
}

}  // namespace sluice
