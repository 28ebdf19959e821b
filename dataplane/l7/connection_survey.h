// Looks at all connections of a worker without keeping its requests waiting: a few of them in each turn of
// the loop, however many there are.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "dataplane/l7/client_connection.h"
#include "dataplane/l7/connection_view.h"
#include "dataplane/l7/intrusive_list.h"

namespace sluice::l7 {

class ClusterRuntime;
class UpstreamPool;

/// On the worker's thread.
class ConnectionSurveys {
 public:
  struct Survey {
    ConnectionFilter filter;
    size_t limit = 0;
    std::function<void(ConnectionsFound)> done;
    std::vector<std::shared_ptr<ClusterRuntime>> clusters;  ///< whose connections are looked at
    ConnectionsFound found = {};
    bool clients_seen = false;
    size_t cluster = 0;  ///< the next one, and in it the next slot
    size_t slot = 0;
  };
  /// Connections that one turn looks at.
  static constexpr size_t kPerTurn = 256;

  ConnectionSurveys(WorkerContext& worker, IntrusiveList<ClientConnection, ClientsTag>& clients)
      : worker_(worker), clients_(clients) {}
  /// Begins when those before it have ended.
  void add(Survey survey);
  /// Forgets those that have not ended.
  void clear() { queue_.clear(); }

 private:
  void turn();
  bool look_at_clients(Survey& survey, size_t& left);
  bool look_at_upstreams(Survey& survey, size_t& left);
  void look_at_retired(Survey& survey);
  void look_at_pool(Survey& survey, UpstreamPool& pool);
  void take(Survey& survey, ConnectionView view) const;

  WorkerContext& worker_;
  IntrusiveList<ClientConnection, ClientsTag>& clients_;
  std::deque<Survey> queue_;
  uint64_t number_ = 1;
};

}  // namespace sluice::l7
