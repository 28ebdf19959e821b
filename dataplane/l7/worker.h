// One core of the proxy: its listeners, its clients, its connections to endpoints, in one loop. Workers share
// nothing but the counters of endpoints and clusters.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "dataplane/l7/client_connection.h"
#include "dataplane/l7/cluster_runtime.h"
#include "dataplane/l7/event_loop.h"
#include "dataplane/l7/settings.h"
#include "dataplane/l7/worker_context.h"

namespace sluice::l7 {

/// A configuration with what all workers share of it.
struct ProxySnapshot {
  struct Cluster {
    EndpointSet::Pointer endpoints;
    std::shared_ptr<CircuitBreakers> breakers;
  };
  std::shared_ptr<const ProxySettings> settings;
  std::unordered_map<std::string, Cluster> clusters;  ///< by name, one for each of settings->clusters
};

class Worker {
 public:
  /// Opens a listening socket of its own for each listener. `on_streak` is called on the worker's thread.
  /// Errors: an address that cannot be listened on, no descriptors.
  static Result<std::unique_ptr<Worker>> make(const ProxySnapshot& snapshot, uint32_t index, uint64_t seed,
                                              std::function<void(const std::string&)> on_streak);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker();

  /// Starts the thread, on `cpu` if not below 0.
  void start(int cpu, const std::string& name);
  /// Ends the thread; connections are closed.
  void stop();

  /// Picks from `endpoints` for requests to come. From any thread.
  void use_endpoints(const std::string& cluster, EndpointSet::Pointer endpoints);
  EventLoop& loop() { return *loop_; }

 private:
  class Listener;
  Worker(std::unique_ptr<EventLoop> loop, uint32_t index, uint64_t seed);
  Result<void> configure(const ProxySnapshot& snapshot);
  void run();
  void end_wake_up();
  void adopt(int fd, const ListenerSettings& listener);

  std::unique_ptr<EventLoop> loop_;
  WorkerContext context_;
  std::vector<std::unique_ptr<ConfigInUse>> configs_;
  std::unordered_map<std::string, std::unique_ptr<ClusterRuntime>> clusters_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  IntrusiveList<ClientConnection, ClientsTag> clients_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace sluice::l7
