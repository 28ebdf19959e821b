#include "dataplane/l7/listener_traffic.h"

namespace sluice::l7 {

ListenerTraffic::Pointer ListenerTraffic::build(const RouteTable& table, uint32_t workers, bool per_route,
                                                const ListenerTraffic* previous) {
  auto traffic = std::make_shared<ListenerTraffic>();
  traffic->counters_ =
      previous == nullptr ? std::make_shared<PerWorker<ListenerCounters>>(workers) : previous->counters_;
  table.for_each_route([&](const MatchedRoute& route) {
    if (!per_route) {
      traffic->by_index_.push_back(nullptr);
      return;
    }
    auto& counters = traffic->routes_[{route.virtual_host(), route.route().name}];
    if (!counters && previous != nullptr) {
      const auto before = previous->routes_.find({route.virtual_host(), route.route().name});
      if (before != previous->routes_.end()) counters = before->second;
    }
    if (!counters) counters = std::make_shared<PerWorker<RouteCounters>>(workers);
    traffic->by_index_.push_back(counters.get());
  });
  return traffic;
}

std::vector<RouteCounters*> ListenerTraffic::routes_of(uint32_t worker) const {
  std::vector<RouteCounters*> routes;
  for (PerWorker<RouteCounters>* counters : by_index_)
    routes.push_back(counters == nullptr ? nullptr : &counters->of(worker));
  return routes;
}

}  // namespace sluice::l7
