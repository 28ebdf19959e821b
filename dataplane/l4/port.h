// A port: one DPDK ethernet device, opened from the operator's words for it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/bpf/steering.h"
#include "dataplane/l4/pipeline.h"
#include "dataplane/l4/settings.h"
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
  /// Attaches the device, sets up settings.queues receive queues (0: `workers`) and a transmit queue for each
  /// worker, and starts it. `steering` is the XDP program for AF_XDP ports. Errors say what to do; the device
  /// is left as it was.
  static Result<Port> open(const PortSettings& settings, uint16_t index, uint32_t workers, rte_mempool* pool,
                           const bpf::SteeringObject* steering);
  Port(Port&&) noexcept;
  Port& operator=(Port&&) = delete;
  ~Port();

  const PortSettings& settings() const { return settings_; }
  uint16_t device() const { return device_; }  ///< DPDK port id
  uint16_t receive_queues() const { return receive_queues_; }
  const EgressTraits& traits() const { return traits_; }
  MacAddress mac() const;
  bool link_up() const;
  PortCounters counters() const;

  /// Sockets to wait on for packets, by receive queue; empty if the driver offers none.
  const std::vector<int>& receive_sockets() const { return receive_sockets_; }

  /// For AF_XDP: these destinations come to the workers, all else stays with the kernel. No effect elsewhere.
  Result<void> steer(const std::vector<Prefix>& vips) const;

 private:
  explicit Port(PortSettings settings) : settings_(std::move(settings)) {}
  Result<void> attach_af_xdp(uint16_t index, uint16_t queues, const bpf::SteeringObject& steering);
  Result<void> attach_device(const std::string& bus, const std::string& name, const std::string& arguments);
  Result<void> set_up_queues(uint32_t workers, rte_mempool* pool);

  PortSettings settings_;
  std::string bus_;
  std::string device_name_;
  uint16_t device_ = UINT16_MAX;
  uint16_t receive_queues_ = 0;
  EgressTraits traits_;
  std::vector<int> receive_sockets_;
  std::optional<bpf::Steering> steering_;
};

}  // namespace sluice::l4
