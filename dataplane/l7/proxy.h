// The L7 proxy's data plane: as many workers as cores, each with listeners of its own.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/l7/worker.h"

namespace sluice::l7 {

class Proxy {
 public:
  /// Opens everything and starts the workers; clients wait until accept(). `events` are told on a
  /// worker's thread. `inherited`: sockets of another process, which are used where a listener is on their
  /// address. Errors name the listener.
  static Result<std::unique_ptr<Proxy>> start(ProxySnapshot snapshot, WorkerEvents events,
                                              const BoundSockets& inherited = {});
  /// Takes clients from now on.
  void accept();
  /// Ends the workers.
  void stop();

  /// Goes on under another configuration, with as many workers as before. Requests under way end under the
  /// old one. On an error, an address that cannot be listened on, nothing has changed.
  Result<void> apply(ProxySnapshot snapshot);
  /// Health checks are answered with 503 from now on; `draining` false: with 200 again.
  void turn_health(bool draining = true);
  /// Has each worker look at its connections; `done` is called once on the thread of each, with at most
  /// `limit` of them. Not called by a worker that stops before.
  void survey_connections(const ConnectionFilter& filter, size_t limit,
                          const std::function<void(ConnectionsFound)>& done);
  /// Takes no new clients and asks those that are there to go, each after `notice` and within `spread`.
  void drain(std::chrono::milliseconds notice, std::chrono::milliseconds spread);
  /// Who is connected, by the names of listeners; asks the workers.
  std::map<std::string, ListenerLoad> load() const;
  /// All that it listens on; none once it drains.
  const BoundSockets& sockets() const { return sockets_; }
  /// Clients connected now.
  uint64_t clients() const;
  /// Picks from `endpoints` for requests to come.
  void use_endpoints(const std::string& cluster, const EndpointSet::Pointer& endpoints);
  /// Calls `visit(const Worker&)` for each.
  template <typename Visit>
  void for_each_worker(Visit visit) const {
    for (const auto& worker : workers_) visit(*worker);
  }
  const ProxySnapshot& snapshot() const { return snapshot_; }

 private:
  ProxySnapshot snapshot_;
  BoundSockets sockets_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace sluice::l7
