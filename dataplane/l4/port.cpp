#include "dataplane/l4/port.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <net/if.h>
#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "dataplane/l4/af_xdp_sockets.h"
#include "dataplane/l4/mbuf_pool.h"

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

/// Receive queues that the kernel has on an interface.
size_t kernel_receive_queues(const std::string& interface) {
  std::error_code error;
  size_t queues = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator("/sys/class/net/" + interface + "/queues", error)) {
    if (entry.path().filename().string().starts_with("rx-")) ++queues;
  }
  return queues;
}

}  // namespace

Result<Port> Port::open(const PortSettings& settings, uint16_t index, uint32_t workers, rte_mempool* pool,
                        const bpf::SteeringObject* steering) {
  Port port(settings);
  const uint16_t queues = settings.queues == 0 ? static_cast<uint16_t>(workers) : settings.queues;
  port.receive_queues_ = queues;
  Result<void> done;
  switch (settings.kind) {
    case PortKind::kAfXdp:
      done = port.attach_af_xdp(index, queues, *steering);
      break;
    case PortKind::kPci:
      done = port.attach_device("pci", settings.device, "");
      break;
    case PortKind::kVdev: {
      const auto comma = settings.device.find(',');
      done = port.attach_device("vdev", settings.device.substr(0, comma),
                                comma == std::string::npos ? "" : settings.device.substr(comma + 1));
      break;
    }
  }
  if (done) done = port.set_up_queues(workers, pool);
  if (!done) return fail(fmt::format("port '{}': {}", settings.name, done.error().message));
  return port;
}

Result<void> Port::attach_af_xdp(uint16_t index, uint16_t queues, const bpf::SteeringObject& steering) {
  const std::string& interface = settings_.device;
  if (if_nametoindex(interface.c_str()) == 0) {
    return fail(fmt::format("there is no interface '{}' here; interfaces are: {}", interface,
                            fmt::join(interface_names(), ", ")));
  }
  if (const size_t present = kernel_receive_queues(interface); present > queues) {
    return fail(fmt::format(
        "interface '{}' has {} receive queues, but {} would be served: packets on the others would be lost; "
        "use 'ethtool -L {} combined {}', or more workers and queues",
        interface, present, queues, interface, queues));
  }
  if (auto detached = bpf::Steering::detach_stale(interface); !detached)
    return tl::unexpected(detached.error());

  const std::vector<int> before = af_xdp_sockets();
  // busy_budget=0: no preferred busy polling, so that poll() wakes an idle worker.
  auto attached = attach_device("vdev", fmt::format("net_af_xdp{}", index),
                                fmt::format("iface={},start_queue=0,queue_count={},busy_budget=0,xdp_prog={}",
                                            interface, queues, steering.path()));
  if (!attached) {
    return fail(
        fmt::format("AF_XDP on '{}' with {} queue(s): {}", interface, queues, attached.error().message));
  }
  return {};
}

Result<void> Port::attach_device(const std::string& bus, const std::string& name,
                                 const std::string& arguments) {
  const int error = rte_eal_hotplug_add(bus.c_str(), name.c_str(), arguments.c_str());
  if (error < 0 && error != -EEXIST) {
    return fail(fmt::format("device '{}' cannot be attached: {}", name, rte_strerror(-error)));
  }
  bus_ = bus;
  device_name_ = name;
  if (rte_eth_dev_get_port_by_name(name.c_str(), &device_) != 0) {
    return fail(fmt::format("'{}' is no ethernet device", name));
  }
  return {};
}

Result<void> Port::set_up_queues(uint32_t workers, rte_mempool* pool) {
  rte_eth_dev_info info{};
  if (const int error = rte_eth_dev_info_get(device_, &info); error != 0) {
    return fail(fmt::format("no device information: {}", rte_strerror(-error)));
  }
  if (receive_queues_ > info.max_rx_queues || workers > info.max_tx_queues) {
    return fail(
        fmt::format("the device offers {} receive and {} transmit queues; {} and {} are wanted: use fewer "
                    "workers or set 'queues'",
                    info.max_rx_queues, info.max_tx_queues, receive_queues_, workers));
  }

  rte_eth_conf conf{};
  if (settings_.kind == PortKind::kPci) conf.rxmode.mtu = settings_.mtu;
  conf.rxmode.offloads = info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
  conf.txmode.offloads =
      info.tx_offload_capa & (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_MULTI_SEGS);
  if (receive_queues_ > 1 && info.flow_type_rss_offloads != 0) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf =
        info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
  }
  traits_.hardware_ipv4_checksum = (conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0;
  traits_.multi_segment = (conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;

  const auto failed = [&](const char* what, int error) {
    return fail(fmt::format("{}: {}", what, rte_strerror(-error)));
  };
  const std::vector<int> sockets_before = af_xdp_sockets();
  if (int error = rte_eth_dev_configure(device_, receive_queues_, static_cast<uint16_t>(workers), &conf);
      error != 0) {
    return failed("the device refuses its settings", error);
  }
  uint16_t rx_descriptors = settings_.descriptors;
  uint16_t tx_descriptors = settings_.descriptors;
  rte_eth_dev_adjust_nb_rx_tx_desc(device_, &rx_descriptors, &tx_descriptors);
  for (uint16_t queue = 0; queue < receive_queues_; ++queue) {
    if (int error = rte_eth_rx_queue_setup(device_, queue, rx_descriptors, SOCKET_ID_ANY, nullptr, pool);
        error != 0) {
      return failed("receive queue", error);
    }
  }
  for (uint16_t queue = 0; queue < workers; ++queue) {
    if (int error = rte_eth_tx_queue_setup(device_, queue, tx_descriptors, SOCKET_ID_ANY, nullptr);
        error != 0) {
      return failed("transmit queue", error);
    }
  }
  if (int error = rte_eth_dev_start(device_); error != 0) return failed("the device does not start", error);

  if (settings_.kind == PortKind::kAfXdp) {
    const std::vector<int> sockets_after = af_xdp_sockets();
    std::set_difference(sockets_after.begin(), sockets_after.end(), sockets_before.begin(),
                        sockets_before.end(), std::back_inserter(receive_sockets_));
    auto steering = bpf::Steering::attach_to(settings_.device);
    if (!steering) return tl::unexpected(steering.error());
    steering_ = std::move(*steering);
  }
  return {};
}

Port::Port(Port&& other) noexcept
    : settings_(std::move(other.settings_)),
      bus_(std::move(other.bus_)),
      device_name_(std::move(other.device_name_)),
      device_(std::exchange(other.device_, UINT16_MAX)),
      receive_queues_(other.receive_queues_),
      traits_(other.traits_),
      receive_sockets_(std::move(other.receive_sockets_)),
      steering_(std::move(other.steering_)) {}

Port::~Port() {
  if (device_ == UINT16_MAX) return;
  rte_eth_dev_stop(device_);
  rte_eth_dev_close(device_);
  if (bus_ == "vdev") rte_eal_hotplug_remove(bus_.c_str(), device_name_.c_str());
  // The driver takes its program off itself, unless it failed half-way.
  if (settings_.kind == PortKind::kAfXdp) (void)bpf::Steering::detach_stale(settings_.device);
}

MacAddress Port::mac() const {
  rte_ether_addr address{};
  rte_eth_macaddr_get(device_, &address);
  MacAddress::Bytes bytes;
  std::copy_n(address.addr_bytes, bytes.size(), bytes.begin());
  return MacAddress(bytes);
}

bool Port::link_up() const {
  rte_eth_link link{};
  return rte_eth_link_get_nowait(device_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

PortCounters Port::counters() const {
  rte_eth_stats stats{};
  if (rte_eth_stats_get(device_, &stats) != 0) return {};
  return {stats.ipackets, stats.opackets, stats.imissed, stats.rx_nombuf, stats.ierrors, stats.oerrors};
}

Result<void> Port::steer(const std::vector<Prefix>& vips) const {
  return steering_ ? steering_->set_vips(vips) : Result<void>{};
}

}  // namespace sluice::l4
