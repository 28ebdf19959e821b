// One core of the proxy: its listeners, its clients, its connections to endpoints, in one loop. Workers share
// nothing but the counters of endpoints and clusters.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "dataplane/l7/client_connection.h"
#include "dataplane/l7/cluster_runtime.h"
#include "dataplane/l7/connection_survey.h"
#include "dataplane/l7/event_loop.h"
#include "dataplane/l7/listening_sockets.h"
#include "dataplane/l7/snapshot.h"
#include "dataplane/l7/worker_context.h"

namespace sluice::l7 {

/// What a listener's clients have open.
struct ListenerLoad {
  uint64_t clients = 0;
  uint64_t streams = 0;  ///< requests under way
};

class Worker {
 public:
  /// `sockets`: of each listener of the snapshot. `events` are called on the worker's thread. Errors: no
  /// descriptors.
  static Result<std::unique_ptr<Worker>> make(const ProxySnapshot& snapshot,
                                              const std::vector<BoundSockets>& sockets, uint32_t index,
                                              uint64_t seed, WorkerEvents events);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker();

  /// Starts the thread, on `cpu` if not below 0.
  void start(int cpu, const std::string& name);
  /// Ends the thread; connections are closed.
  void stop();

  /// Takes clients from now on. From any thread.
  void accept();
  /// Goes on under another configuration. `sockets`: of each of its listeners, the same ones as before where
  /// they stay. Requests under way end under the old one. From any thread.
  void apply(ProxySnapshot snapshot, std::vector<BoundSockets> sockets);
  /// Picks from `endpoints` for requests to come. From any thread.
  void use_endpoints(const std::string& cluster, EndpointSet::Pointer endpoints);
  /// Health checks are answered with 503 from now on; `draining` false: with 200 again.
  void turn_health(bool draining);
  /// Looks at its connections in small steps beside its work, and calls `done` on its thread, but not if it
  /// stops before. From any thread.
  void survey_connections(ConnectionFilter filter, size_t limit, std::function<void(ConnectionsFound)> done);
  /// Takes no new clients, and asks those that are there to go: all are told at once that the end is near,
  /// and each is told to go after `notice` and up to `spread` more. From any thread.
  void drain(std::chrono::milliseconds notice, std::chrono::milliseconds spread);
  /// Who is connected, and their streams, by the names of listeners. From any thread but the worker's; waits
  /// for the worker, if not for long: one that hangs has none.
  std::map<std::string, ListenerLoad> load();
  /// Written by the worker, to be read at any time.
  const WorkerCounters& counters() const { return context_.counters; }
  const TlsCounters& client_tls() const { return context_.client_tls; }
  const TlsCounters& upstream_tls() const { return context_.upstream_tls; }
  /// Clients connected now. From any thread.
  uint64_t clients() const { return client_count_.load(std::memory_order_relaxed); }

 private:
  class Listener;
  Worker(std::unique_ptr<EventLoop> loop, uint32_t index, uint64_t seed, std::shared_ptr<ProxyShared> shared);
  void configure(const ProxySnapshot& snapshot);
  Result<void> listen(const std::vector<BoundSockets>& sockets);
  void move_clients();
  void run();
  void end_wake_up();
  void adopt(int fd, const IpAddress& address, uint16_t port, size_t listener);
  Defence refusal_of(size_t listener);
  // Memory; see worker_shedding.cpp.
  void weigh_connections();
  void give_back_kept();
  void trim_later();
  void give_back_unneeded();
  void shed();
  void shed_in_time();
  size_t shed_idle();
  void close_biggest(int64_t down_to, size_t most);

  // Bytes that are kept for the next burst, whether one comes or not.
  static constexpr size_t kKeptForGood = 128 * 1024;

  std::unique_ptr<EventLoop> loop_;
  WorkerContext context_;
  std::vector<std::unique_ptr<ConfigInUse>>
      configs_;  // the last is in force, requests run under those before
  std::unordered_map<std::string, std::shared_ptr<ClusterRuntime>> clusters_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  bool accepting_ = false;
  IntrusiveList<ClientConnection, ClientsTag> clients_;
  ConnectionSurveys surveys_{context_, clients_};
  std::atomic<uint64_t> client_count_{0};
  Timer trim_timer_;
  Timer shed_timer_;
  std::chrono::steady_clock::time_point tight_since_{};  // while shed_timer_ runs
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace sluice::l7
