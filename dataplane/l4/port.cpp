#include "dataplane/l4/port.h"

#include <fmt/format.h>
#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "dataplane/l4/af_xdp_sockets.h"
#include "dataplane/l4/capabilities.h"
#include "dataplane/l4/dpdk_log.h"

namespace sluice::l4 {

namespace {

/// "what: why: what the driver said".
tl::unexpected<Error> device_error(const std::string& what, int error) {
  return fail(fmt::format("{}: {}{}", what, rte_strerror(-error), dpdk_said()));
}

rte_eth_conf configuration(const PortSettings& settings, const rte_eth_dev_info& info,
                           uint16_t receive_queues) {
  rte_eth_conf conf{};
  if (settings.kind == PortKind::kPci) conf.rxmode.mtu = settings.mtu;
  conf.rxmode.offloads = info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
  conf.txmode.offloads =
      info.tx_offload_capa & (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_MULTI_SEGS);
  if (receive_queues > 1 && info.flow_type_rss_offloads != 0) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf =
        info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
  }
  return conf;
}

}  // namespace

Result<Port> Port::open(const PortPlan& plan, uint16_t index, uint32_t workers, rte_mempool* pool,
                        const bpf::SteeringObject* steering) {
  Port port(plan.settings);
  const auto done = plan.settings.kind == PortKind::kAfXdp
                        ? port.open_af_xdp(index, plan.receive_queues, workers, pool, *steering)
                        : port.open_device(index, plan.receive_queues, workers, pool);
  if (!done) return tl::unexpected(done.error());
  return port;
}

Result<void> Port::open_af_xdp(uint16_t index, uint16_t queues, uint32_t workers, rte_mempool* pool,
                               const bpf::SteeringObject& steering) {
  const std::string& interface = settings_.device;
  for (uint16_t queue = 0; queue < queues; ++queue) {
    const std::vector<int> before = af_xdp_sockets();
    // Each device attaches the program anew, and refuses to while that of the device before is there.
    if (queue > 0) {
      if (auto detached = bpf::Steering::detach(interface); !detached) return detached;
    }
    // busy_budget=0: no preferred busy polling, so that poll() wakes an idle worker.
    const auto device = attach("vdev", fmt::format("net_af_xdp{}_{}", index, queue),
                               fmt::format("iface={},start_queue={},queue_count=1,busy_budget=0,xdp_prog={}",
                                           interface, queue, steering.path()));
    if (!device) return tl::unexpected(device.error());
    if (auto started = start(*device, 1, 1, pool); !started) {
      return fail(fmt::format("AF_XDP on queue {} of '{}': {}{}", queue, interface, started.error().message,
                              missing_capabilities()));
    }
    const std::vector<int> after = af_xdp_sockets();
    std::vector<int> sockets;
    std::set_difference(after.begin(), after.end(), before.begin(), before.end(),
                        std::back_inserter(sockets));
    if (sockets.size() != 1) {
      return fail(fmt::format("queue {} of '{}' has {} AF_XDP sockets; expected one", queue, interface,
                              sockets.size()));
    }
    receive_.push_back({index, *device, 0, sockets.front()});
    if (queue < workers) transmit_.push_back({*device, 0});
  }
  return steer_to_sockets();
}

Result<void> Port::steer_to_sockets() {
  auto steering = bpf::Steering::attach_to(settings_.device);
  if (!steering) return tl::unexpected(steering.error());
  // The program there now is the last device's, and knows that one's socket only.
  for (uint32_t queue = 0; queue < receive_.size(); ++queue) {
    if (auto added = steering->add_socket(queue, receive_[queue].socket); !added) return added;
  }
  steering_ = std::move(*steering);
  return {};
}

Result<void> Port::open_device(uint16_t index, uint16_t queues, uint32_t workers, rte_mempool* pool) {
  const auto comma = std::min(settings_.device.find(','), settings_.device.size());
  const auto device =
      settings_.kind == PortKind::kPci
          ? attach("pci", settings_.device, "")
          : attach("vdev", settings_.device.substr(0, comma),
                   comma == settings_.device.size() ? "" : settings_.device.substr(comma + 1));
  if (!device) return tl::unexpected(device.error());
  rte_eth_dev_info info{};
  if (const int error = rte_eth_dev_info_get(*device, &info); error != 0) {
    return device_error("no device information", error);
  }
  if (queues == 0) queues = static_cast<uint16_t>(std::min<uint32_t>(workers, info.max_rx_queues));
  if (queues > info.max_rx_queues || workers > info.max_tx_queues) {
    return fail(fmt::format(
        "the device offers {} receive and {} transmit queues; {} and {} are wanted: each worker needs "
        "a transmit queue; use fewer workers or 'queues'",
        info.max_rx_queues, info.max_tx_queues, queues, workers));
  }
  if (auto started = start(*device, queues, static_cast<uint16_t>(workers), pool); !started) return started;
  for (uint16_t queue = 0; queue < queues; ++queue) receive_.push_back({index, *device, queue, -1});
  for (uint16_t worker = 0; worker < workers; ++worker) transmit_.push_back({*device, worker});
  return {};
}

Result<uint16_t> Port::attach(const std::string& bus, const std::string& name, const std::string& arguments) {
  const int error = rte_eal_hotplug_add(bus.c_str(), name.c_str(), arguments.c_str());
  // A PCI device is there since EAL's start.
  if (error < 0 && error != -EEXIST) {
    return device_error(fmt::format("device '{}' cannot be attached", name), error);
  }
  if (bus == "vdev") virtual_devices_.push_back(name);
  uint16_t device = 0;
  if (rte_eth_dev_get_port_by_name(name.c_str(), &device) != 0) {
    return fail(fmt::format("DPDK has no driver for '{}' as an ethernet device{}", name, dpdk_said()));
  }
  devices_.push_back(device);
  return device;
}

Result<void> Port::start(uint16_t device, uint16_t receive_queues, uint16_t transmit_queues,
                         rte_mempool* pool) {
  rte_eth_dev_info info{};
  if (const int error = rte_eth_dev_info_get(device, &info); error != 0) {
    return device_error("no device information", error);
  }
  const rte_eth_conf conf = configuration(settings_, info, receive_queues);
  traits_.hardware_ipv4_checksum = (conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0;
  traits_.multi_segment = (conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;
  if (int error = rte_eth_dev_configure(device, receive_queues, transmit_queues, &conf); error != 0) {
    return device_error("the device refuses its settings", error);
  }
  uint16_t rx_descriptors = settings_.descriptors;
  uint16_t tx_descriptors = settings_.descriptors;
  rte_eth_dev_adjust_nb_rx_tx_desc(device, &rx_descriptors, &tx_descriptors);
  for (uint16_t queue = 0; queue < receive_queues; ++queue) {
    if (int error = rte_eth_rx_queue_setup(device, queue, rx_descriptors, SOCKET_ID_ANY, nullptr, pool);
        error != 0) {
      return device_error("receive queue", error);
    }
  }
  for (uint16_t queue = 0; queue < transmit_queues; ++queue) {
    if (int error = rte_eth_tx_queue_setup(device, queue, tx_descriptors, SOCKET_ID_ANY, nullptr);
        error != 0) {
      return device_error("transmit queue", error);
    }
  }
  if (int error = rte_eth_dev_start(device); error != 0)
    return device_error("the device does not start", error);
  return {};
}

Port::Port(Port&& other) noexcept
    : settings_(std::move(other.settings_)),
      devices_(std::exchange(other.devices_, {})),
      virtual_devices_(std::exchange(other.virtual_devices_, {})),
      receive_(std::move(other.receive_)),
      transmit_(std::move(other.transmit_)),
      traits_(other.traits_),
      steering_(std::move(other.steering_)) {}

Port::~Port() {
  for (const uint16_t device : devices_) {
    rte_eth_dev_stop(device);
    rte_eth_dev_close(device);
  }
  for (const std::string& name : virtual_devices_) rte_eal_hotplug_remove("vdev", name.c_str());
  // The driver takes its program off itself, unless it failed half-way.
  if (settings_.kind == PortKind::kAfXdp && !virtual_devices_.empty()) {
    (void)bpf::Steering::detach_stale(settings_.device);
  }
}

MacAddress Port::mac() const {
  rte_ether_addr address{};
  rte_eth_macaddr_get(devices_.front(), &address);
  MacAddress::Bytes bytes;
  std::copy_n(address.addr_bytes, bytes.size(), bytes.begin());
  return MacAddress(bytes);
}

bool Port::link_up() const {
  rte_eth_link link{};
  return rte_eth_link_get_nowait(devices_.front(), &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

PortCounters Port::counters() const {
  PortCounters sum;
  for (const uint16_t device : devices_) {
    rte_eth_stats stats{};
    if (rte_eth_stats_get(device, &stats) != 0) continue;
    sum.rx_packets += stats.ipackets;
    sum.tx_packets += stats.opackets;
    sum.rx_missed += stats.imissed;
    sum.rx_no_buffer += stats.rx_nombuf;
    sum.rx_errors += stats.ierrors;
    sum.tx_errors += stats.oerrors;
  }
  return sum;
}

Result<void> Port::steer(const std::vector<Prefix>& vips) const {
  return steering_ ? steering_->set_vips(vips) : Result<void>{};
}

}  // namespace sluice::l4
