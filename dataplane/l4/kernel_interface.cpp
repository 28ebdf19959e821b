#include "dataplane/l4/kernel_interface.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace sluice::l4 {

namespace {

std::vector<std::string> interface_names() {
  std::vector<std::string> names;
  if (struct if_nameindex* list = if_nameindex(); list != nullptr) {
    for (auto* entry = list; entry->if_index != 0; ++entry) names.emplace_back(entry->if_name);
    if_freenameindex(list);
  }
  return names;
}

/// Drivers without channels have one queue.
uint16_t receive_queues_of(int socket, ifreq request) {
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  request.ifr_data = reinterpret_cast<char*>(&channels);
  if (ioctl(socket, SIOCETHTOOL, &request) != 0) return 1;
  return static_cast<uint16_t>(
      std::clamp<uint32_t>(channels.combined_count + channels.rx_count, 1, UINT16_MAX));
}

}  // namespace

Result<KernelInterface> find_interface(const std::string& name) {
  if (if_nametoindex(name.c_str()) == 0) {
    return fail(fmt::format("there is no interface '{}' here; interfaces are: {}", name,
                            fmt::join(interface_names(), ", ")));
  }
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  KernelInterface found;
  const bool flags_read = ioctl(socket, SIOCGIFFLAGS, &request) == 0;
  found.up = (request.ifr_flags & IFF_UP) != 0;
  const bool mtu_read = ioctl(socket, SIOCGIFMTU, &request) == 0;
  found.mtu = static_cast<uint32_t>(request.ifr_mtu);
  const std::string reason = flags_read && mtu_read ? "" : std::strerror(errno);
  found.receive_queues = receive_queues_of(socket, request);
  if (socket >= 0) close(socket);
  if (!reason.empty()) return fail(fmt::format("interface '{}' does not answer: {}", name, reason));
  return found;
}

}  // namespace sluice::l4
