// A port: a place where packets come in and go out, opened from the operator's words for it.
//
// A NIC or a virtual device is one DPDK device with many queues. An AF_XDP port is one DPDK device for each
// queue of its interface: drivers without "combined" channels (veth) let DPDK take one queue at a time only,
// and one way for all interfaces is better than two.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/bpf/steering.h"
#include "dataplane/l4/pipeline.h"
#include "dataplane/l4/port_plan.h"
#include "dataplane/l4/settings.h"
#include "dataplane/l4/worker.h"
#include "lb/address.h"
#include "lb/result.h"

struct rte_mempool;

namespace sluice::l4 {

/// Counters of the device itself.
struct PortCounters {
  uint64_t rx_packets = 0;
  uint64_t tx_packets = 0;
  uint64_t rx_missed = 0;     ///< lost before a worker took them: the receive queue was full
  uint64_t rx_no_buffer = 0;  ///< lost for want of packet buffers
  uint64_t rx_errors = 0;
  uint64_t tx_errors = 0;
};

class Port {
 public:
  /// Attaches the device, sets up the planned receive queues and a transmit queue for each of the `workers`,
  /// and starts it. `index` is its place in the config. `steering` is the XDP program for AF_XDP ports.
  /// Errors say what to do; the device is left as it was.
  static Result<Port> open(const PortPlan& plan, uint16_t index, uint32_t workers, rte_mempool* pool,
                           const bpf::SteeringObject* steering);
  Port(Port&&) noexcept;
  Port& operator=(Port&&) = delete;
  ~Port();

  const PortSettings& settings() const { return settings_; }
  const EgressTraits& traits() const { return traits_; }
  uint16_t receive_queues() const { return static_cast<uint16_t>(receive_.size()); }
  const ReceiveQueue& receive_queue(uint16_t queue) const { return receive_[queue]; }
  /// That of a worker, below the `workers` given to open().
  TransmitQueue transmit_queue(uint32_t worker) const { return transmit_[worker]; }
  MacAddress mac() const;
  bool link_up() const;
  PortCounters counters() const;  ///< sums over the port's devices

  /// For AF_XDP: these destinations come to the workers, all else stays with the kernel. No effect elsewhere.
  Result<void> steer(const std::vector<Prefix>& vips) const;

 private:
  explicit Port(const PortSettings& settings) : settings_(settings) {}
  Result<void> open_af_xdp(uint16_t index, uint16_t queues, uint32_t workers, rte_mempool* pool,
                           const bpf::SteeringObject& steering);
  Result<void> open_device(uint16_t index, uint16_t queues, uint32_t workers, rte_mempool* pool);
  Result<void> steer_to_sockets();
  /// Returns the DPDK port id.
  Result<uint16_t> attach(const std::string& bus, const std::string& name, const std::string& arguments);
  Result<void> start(uint16_t device, uint16_t receive_queues, uint16_t transmit_queues, rte_mempool* pool);

  PortSettings settings_;
  std::vector<uint16_t> devices_;
  std::vector<std::string> virtual_devices_;  ///< names of those that end with the port
  std::vector<ReceiveQueue> receive_;
  std::vector<TransmitQueue> transmit_;
  EgressTraits traits_;
  std::optional<bpf::Steering> steering_;
};

}  // namespace sluice::l4
