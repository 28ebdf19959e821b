// The packet engine as the control thread sees it: start it, give it tables, read its counters, stop it.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/bpf/steering.h"
#include "dataplane/l4/mbuf_pool.h"
#include "dataplane/l4/port.h"
#include "dataplane/l4/port_plan.h"
#include "dataplane/l4/published_table.h"
#include "dataplane/l4/settings.h"
#include "dataplane/l4/worker.h"
#include "lb/forwarding_table.h"
#include "lb/result.h"

namespace sluice::l4 {

/// All calls from one thread, the control thread.
class Engine {
 public:
  /// Starts EAL and opens the ports; one engine per process. On an Error nothing is left behind.
  static Result<std::unique_ptr<Engine>> open(const DpdkSettings& dpdk,
                                              const std::vector<PortSettings>& ports,
                                              const WorkerSettings& workers);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Gives the workers `table` and the AF_XDP ports the addresses of `vips`. Returns once the older table is
  /// gone. The first call starts the workers. On an Error (the steering of a port) the table is in use all
  /// the same.
  Result<void> publish(std::unique_ptr<const ForwardingTable> table, const std::vector<Vip>& vips);
  const ForwardingTable* table() const { return published_.latest(); }

  /// Lets the workers empty their queues and stops them. VIP traffic passes to the kernel from then on.
  void stop();

  const std::vector<Port>& ports() const { return ports_; }
  const std::vector<std::unique_ptr<Worker>>& workers() const { return workers_; }

 private:
  explicit Engine(uint32_t workers) : published_(workers) {}
  Result<void> open_ports(const std::vector<PortPlan>& plans, uint32_t workers);
  Result<void> make_workers(const WorkerSettings& settings, uint32_t count);
  void start_workers();

  PublishedTable published_;
  MbufPool pool_;
  std::optional<bpf::SteeringObject> steering_;
  std::vector<Port> ports_;
  std::vector<FlowBucket*> flow_memory_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::atomic<bool> stop_{false};
  bool running_ = false;
};

}  // namespace sluice::l4
