// Where the traffic of a listener and of its routes is counted. What keeps its name in a new configuration
// keeps its counters.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/l7/per_worker.h"
#include "dataplane/l7/traffic_counters.h"
#include "lb/l7/route_table.h"

namespace sluice::l7 {

class ListenerTraffic {
 public:
  using Pointer = std::shared_ptr<const ListenerTraffic>;
  using RouteName = std::pair<std::string, std::string>;  ///< virtual host, route
  using Routes = std::map<RouteName, std::shared_ptr<PerWorker<RouteCounters>>>;

  /// Of a listener with these routes; `per_route`: they are counted too. `previous`: the same listener's in
  /// the configuration before, or nullptr.
  static Pointer build(const RouteTable& table, uint32_t workers, bool per_route,
                       const ListenerTraffic* previous);

  const std::shared_ptr<PerWorker<ListenerCounters>>& counters() const { return counters_; }
  /// Routes of the same name in virtual hosts of the same name are counted as one.
  const Routes& routes() const { return routes_; }
  /// A worker's counters of the routes, by MatchedRoute::index(); nullptr where they are not counted.
  std::vector<RouteCounters*> routes_of(uint32_t worker) const;

 private:
  std::shared_ptr<PerWorker<ListenerCounters>> counters_;
  Routes routes_;
  std::vector<PerWorker<RouteCounters>*> by_index_;
};

}  // namespace sluice::l7
