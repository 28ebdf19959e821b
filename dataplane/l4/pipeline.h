// What happens to a burst of frames between receive and transmit: classify, choose, encapsulate.
//
// Every step runs over the whole burst before the next one starts, so that each memory access that may miss
// the cache (frame, flow bucket, backend) is prefetched one step ahead. One Pipeline belongs to one worker.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/l4/worker_counters.h"
#include "lb/flow_table.h"
#include "lb/forwarding_table.h"

struct rte_mbuf;

namespace sluice::l4 {

inline constexpr uint16_t kBurst = 32;
inline constexpr uint16_t kMaxPorts = 16;

/// What a port can do with the frames given to it.
struct EgressTraits {
  bool hardware_ipv4_checksum = false;  ///< RTE_ETH_TX_OFFLOAD_IPV4_CKSUM
  bool multi_segment = false;           ///< RTE_ETH_TX_OFFLOAD_MULTI_SEGS
};

/// Frames to transmit, by port.
struct TransmitBatches {
  struct Batch {
    uint16_t count = 0;
    std::array<rte_mbuf*, kBurst> frames;
  };
  std::array<Batch, kMaxPorts> ports;

  void add(uint16_t port, rte_mbuf* frame) {
    Batch& batch = ports[port];
    batch.frames[batch.count++] = frame;
  }
};

class Pipeline {
 public:
  /// Both outlive the pipeline. `ports` are the traits of all ports, by index.
  Pipeline(FlowTable& flows, WorkerCounters& counters, std::vector<EgressTraits> ports);

  /// Takes the frames (at most kBurst) received on `port`: each is added to `out` (empty before), or freed
  /// and counted under a DropReason. `now` is the flow time.
  void process(const ForwardingTable& table, std::span<rte_mbuf* const> frames, uint16_t port, FlowTick now,
               TransmitBatches& out);

 private:
  /// ICMP answers in one flow tick, so that a flood of too-big packets is not answered by a flood.
  static constexpr uint32_t kMaxTooBigAnswersPerTick = 2000;

  friend struct Burst;

  FlowTable& flows_;
  WorkerCounters& counters_;
  std::array<EgressTraits, kMaxPorts> ports_{};
  uint16_t packet_id_ = 0;
  FlowTick too_big_tick_ = 0;
  uint32_t too_big_answers_ = 0;
};

}  // namespace sluice::l4
