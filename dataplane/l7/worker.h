// One core of the proxy: its listeners, its clients, its connections to endpoints, in one loop. Workers share
// nothing but the counters of endpoints.
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

class Worker {
 public:
  /// Opens a listening socket of its own for each listener. `endpoints` are shared by all workers, one set
  /// per cluster in the order of `settings->clusters`. Errors: an address that cannot be listened on, no
  /// descriptors.
  static Result<std::unique_ptr<Worker>> make(std::shared_ptr<const ProxySettings> settings,
                                              const std::vector<EndpointSet::Pointer>& endpoints,
                                              uint64_t seed);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker();

  /// Starts the thread, on `cpu` if not below 0.
  void start(int cpu, const std::string& name);
  /// Ends the thread; connections are closed.
  void stop();
  EventLoop& loop() { return *loop_; }

 private:
  class Listener;
  Worker(std::shared_ptr<const ProxySettings> settings, std::unique_ptr<EventLoop> loop, uint64_t seed);
  void run();
  void end_wake_up();
  void adopt(int fd, const ListenerSettings& listener);

  std::shared_ptr<const ProxySettings> settings_;
  std::unique_ptr<EventLoop> loop_;
  WorkerContext context_;
  std::unordered_map<std::string, std::unique_ptr<ClusterRuntime>> clusters_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  IntrusiveList<ClientConnection, ClientsTag> clients_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace sluice::l7
