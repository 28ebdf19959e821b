// A worker: one core that receives, decides and sends, and shares nothing but the forwarding table.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/l4/pipeline.h"
#include "dataplane/l4/published_table.h"
#include "dataplane/l4/settings.h"
#include "dataplane/l4/worker_counters.h"
#include "lb/flow_survey.h"
#include "lb/flow_table.h"

namespace sluice::l4 {

/// One receive queue of one port.
struct ReceiveQueue {
  uint16_t port = 0;    ///< index in the config
  uint16_t device = 0;  ///< DPDK port id
  uint16_t queue = 0;
  int socket = -1;  ///< to sleep on; -1 if the driver has none
};

/// Where a worker sends for a port.
struct TransmitQueue {
  uint16_t device = 0;  ///< DPDK port id
  uint16_t queue = 0;
};

/// An adaptive worker sleeps after so many rounds without a packet, ...
inline constexpr uint32_t kIdleRoundsBeforeSleep = 64;
/// ... on sockets for at most so long (ageing of flows goes on), ...
inline constexpr int kSocketSleepMs = 100;
/// ... and where the driver has no socket to wait on, for so long: the most that waking up can take.
inline constexpr uint32_t kTimedSleepUs = 50;

struct WorkerSetup {
  uint32_t index = 0;  ///< number of the worker and its RCU reader number
  IdleMode idle = IdleMode::kAdaptive;
  std::vector<ReceiveQueue> queues;
  std::vector<TransmitQueue> transmit;  ///< by port index
  std::vector<EgressTraits> traits;     ///< by port index
  std::span<FlowBucket> flow_memory;
};

class Worker {
 public:
  Worker(WorkerSetup setup, PublishedTable& table);

  /// The poll loop. Returns when `stop` is set and the receive queues are empty, or after kDrainMs.
  void run(const std::atomic<bool>& stop);

  const WorkerSetup& setup() const { return setup_; }
  const WorkerCounters& counters() const { return counters_; }
  const FlowTable& flows() const { return flows_; }
  /// For the control thread to ask how many flows each backend has: answered while run() runs, within about
  /// a second for 4 Mi flows, whatever the worker has to do.
  FlowSurvey& survey() { return survey_; }

 private:
  static constexpr uint32_t kDrainMs = 200;

  /// One round over all receive queues; the number of frames that came.
  uint32_t poll(FlowTick now);
  void transmit(TransmitBatches& batches);
  void age_flows(const ForwardingTable& table, FlowTick now, uint64_t tsc);
  /// Walks on in the survey, if one was asked for.
  void survey_flows(FlowTick now, uint64_t tsc, bool idle);
  void sleep();

  WorkerSetup setup_;
  PublishedTable& table_;
  FlowTable flows_;
  WorkerCounters counters_;
  Pipeline pipeline_;
  FlowSurvey survey_;
  uint64_t surveyed_until_ = 0;         ///< TSC up to which a survey is on time
  uint64_t tsc_per_survey_bucket_ = 0;  ///< TSC in which a survey must do one bucket
  uint64_t swept_until_ = 0;            ///< TSC up to which the sweep is done
  uint64_t tsc_per_bucket_ = 0;         ///< TSC in which one bucket must be swept
};

}  // namespace sluice::l4
