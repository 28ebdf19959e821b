#include "dataplane/l4/port_plan.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>

#include "dataplane/bpf/steering.h"
#include "dataplane/l4/capabilities.h"
#include "dataplane/l4/kernel_interface.h"

namespace sluice::l4 {

namespace {

Result<void> check_af_xdp_permission() {
  const int socket = ::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (socket < 0) {
    const bool denied = errno == EPERM;
    return fail(
        fmt::format("no AF_XDP socket: {}{}", std::strerror(errno),
                    denied ? missing_capabilities() : "; the kernel must be built with CONFIG_XDP_SOCKETS"));
  }
  close(socket);
  return {};
}

Result<PortPlan> plan_af_xdp(const PortSettings& settings, uint32_t workers) {
  const std::string& name = settings.device;
  const auto interface = find_interface(name);
  if (!interface) return tl::unexpected(interface.error());
  if (!interface->up) {
    return fail(fmt::format("interface '{}' is down; 'ip link set dev {} up'", name, name));
  }
  if (interface->mtu > kMaxAfXdpMtu) {
    return fail(
        fmt::format("interface '{}' has MTU {}, but AF_XDP takes at most {}: 'ip link set dev {} mtu {}'",
                    name, interface->mtu, kMaxAfXdpMtu, name, std::max(settings.mtu, uint16_t{1500})));
  }
  const uint16_t present = interface->receive_queues;
  if (settings.queues != 0 && settings.queues != present) {
    return fail(fmt::format(
        "interface '{}' has {} receive queue(s), and 'queues: {}' is set: each one must be served, or its "
        "packets are not balanced; leave 'queues' out, or 'ethtool -L {} combined {}' (veth: rx {} tx {})",
        name, present, settings.queues, name, settings.queues, settings.queues, settings.queues));
  }
  if (present < workers) {
    return fail(fmt::format(
        "interface '{}' has {} queue(s), and each of {} workers needs one of its own; use {} worker(s), "
        "or 'ethtool -L {} combined {}' (veth: rx {} tx {})",
        name, present, workers, present, name, workers, workers, workers));
  }
  if (auto permitted = check_af_xdp_permission(); !permitted) return tl::unexpected(permitted.error());
  if (auto free = bpf::Steering::detach_stale(name); !free) return tl::unexpected(free.error());

  PortPlan plan{settings, present, std::max<uint32_t>(interface->mtu, settings.mtu)};
  plan.settings.mtu = static_cast<uint16_t>(std::min<uint32_t>(interface->mtu, settings.mtu));
  return plan;
}

/// DPDK drives a NIC through one of these; mlx devices stay with the kernel's driver.
bool is_for_user_space(std::string_view driver) {
  constexpr std::array<std::string_view, 5> kDrivers = {"vfio-pci", "uio_pci_generic", "igb_uio", "mlx4_core",
                                                        "mlx5_core"};
  return std::find(kDrivers.begin(), kDrivers.end(), driver) != kDrivers.end();
}

Result<PortPlan> plan_pci(const PortSettings& settings) {
  namespace fs = std::filesystem;
  std::string address = settings.device;
  std::transform(address.begin(), address.end(), address.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  const fs::path device = fs::path("/sys/bus/pci/devices") / address;
  std::error_code error;
  if (!fs::exists(device, error)) {
    return fail(fmt::format("there is no PCI device {}; 'lspci -D | grep -i net' lists the NICs", address));
  }
  const std::string driver = fs::read_symlink(device / "driver", error).filename().string();
  if (!is_for_user_space(driver)) {
    return fail(
        fmt::format("PCI device {} is bound to {}, and must be bound to vfio-pci: 'modprobe vfio-pci; "
                    "driverctl set-override {} "
                    "vfio-pci' (docs/ports.md)",
                    address, driver.empty() ? "no driver" : "the kernel's driver " + driver, address));
  }
  return PortPlan{settings, settings.queues, settings.mtu};
}

}  // namespace

Result<PortPlan> plan_port(const PortSettings& settings, uint32_t workers) {
  switch (settings.kind) {
    case PortKind::kAfXdp:
      return plan_af_xdp(settings, workers);
    case PortKind::kPci:
      return plan_pci(settings);
    case PortKind::kVdev:
      break;
  }
  return PortPlan{settings, settings.queues, settings.mtu};
}

}  // namespace sluice::l4
