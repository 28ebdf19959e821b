// One worker's pipeline without ports: a frame in, its fate out. Runs without root and without huge pages.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/l4/pipeline.h"
#include "dataplane/l4/worker_counters.h"
#include "lb/flow_table.h"
#include "lb/forwarding_table.h"
#include "tests/packet/frames.h"

struct rte_mempool;
struct rte_mbuf;

namespace sluice::packet {

/// Starts EAL once for the test program, and makes the buffers: `buffer_size` bytes each.
rte_mempool* test_buffers();
/// Buffers in use; 0 between tests, or the code under test leaked one.
uint32_t buffers_in_use();

/// A frame in a buffer; cut into segments of at most `segment` bytes.
rte_mbuf* make_mbuf(const Bytes& frame, size_t segment = SIZE_MAX);

struct Fate {
  std::optional<DropReason> dropped;  ///< absent: sent
  Bytes frame;                        ///< as sent
  uint16_t port = 0;
  uint64_t offloads = 0;  ///< mbuf flags as sent
};

inline constexpr const char* kNodeMac = "02:00:00:00:00:aa";
inline constexpr const char* kRouterMac = "02:00:00:00:00:bb";

/// A node with its tables.
class Rig {
 public:
  explicit Rig(Services services, std::vector<l4::EgressTraits> ports = {{}, {}});
  ~Rig();

  /// Puts other services in place, as a reload does; flows stay.
  void reload(Services services);
  /// Backends at these addresses have no next hop from the next reload on.
  void unresolve(const std::string& address) { unresolved_.push_back(ip(address)); }
  void set_mtu(uint16_t mtu) { mtu_ = mtu; }

  Fate run(const Bytes& frame, uint16_t port = 0) { return run_mbuf(make_mbuf(frame), port); }
  Fate run_mbuf(rte_mbuf* mbuf, uint16_t port = 0);
  /// Frames sent for a whole burst.
  std::vector<Bytes> run_burst(const std::vector<rte_mbuf*>& burst);
  /// Name of the backend that a frame's outer destination stands for, or "" if it was dropped.
  std::string backend_of(const Fate& fate) const;

  FlowTick now = 1;
  FlowTable& flows() { return *flows_; }
  l4::WorkerCounters& counters() { return *counters_; }
  const ForwardingTable& table() const { return *table_; }
  ForwardingIds& ids() { return ids_; }

 private:
  Services services_;
  std::vector<IpAddress> unresolved_;
  uint16_t mtu_ = 1500;
  ForwardingIds ids_;
  std::unique_ptr<const ForwardingTable> table_;
  std::vector<FlowBucket> flow_memory_;
  std::unique_ptr<FlowTable> flows_;
  std::unique_ptr<l4::WorkerCounters> counters_;
  std::unique_ptr<l4::Pipeline> pipeline_;
};

}  // namespace sluice::packet
