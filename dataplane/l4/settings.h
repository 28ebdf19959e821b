// What the operator sets about the packet engine: ports, workers and memory. Filled by control/config.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sluice::l4 {

/// The largest IP packet by AF_XDP: frame, headrooms and the buffer's own header fit one page, the most that
/// the kernel takes as a chunk.
inline constexpr uint16_t kMaxAfXdpMtu = 3400;

enum class PortKind : uint8_t {
  kAfXdp,  ///< a Linux interface, by AF_XDP; the kernel keeps all that is not VIP traffic
  kPci,    ///< a NIC bound to vfio-pci
  kVdev,   ///< a DPDK virtual device, for tests and offline runs
};

struct PortSettings {
  std::string name;
  PortKind kind = PortKind::kAfXdp;
  std::string device;           ///< interface name, PCI address, or DPDK vdev string
  uint16_t queues = 0;          ///< receive queues; 0: AF_XDP: all there are; else one per worker if offered
  uint16_t mtu = 1500;          ///< largest IP packet in bytes, both ways
  uint16_t descriptors = 1024;  ///< ring size per queue
  friend bool operator==(const PortSettings&, const PortSettings&) = default;
};

enum class IdleMode : uint8_t {
  kPoll,      ///< spin: lowest latency, a core at 100 %
  kAdaptive,  ///< sleep after empty polls until a packet arrives
};

struct WorkerSettings {
  std::vector<unsigned> cores;  ///< one pinned worker each; empty: `count` workers that float over all CPUs
  uint16_t count = 1;           ///< number of floating workers; without meaning if `cores` is not empty
  IdleMode idle = IdleMode::kAdaptive;
  uint32_t flow_table_flows = 1u << 20;  ///< flows remembered per worker
  friend bool operator==(const WorkerSettings&, const WorkerSettings&) = default;
};

struct DpdkSettings {
  bool huge_pages = true;
  uint32_t memory_mb = 256;           ///< for packet buffers and flow tables
  std::vector<std::string> eal_args;  ///< added to those that Sluice makes
  friend bool operator==(const DpdkSettings&, const DpdkSettings&) = default;
};

}  // namespace sluice::l4
