// A configuration made ready for the workers: what they share of it, and what they carry over from the one
// before.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "dataplane/l7/listener_traffic.h"
#include "dataplane/l7/memory_ledger.h"
#include "dataplane/l7/settings.h"
#include "dataplane/l7/span_rings.h"
#include "dataplane/l7/tls_contexts.h"
#include "lb/l7/circuit_breaker.h"
#include "lb/l7/endpoint_set.h"
#include "lb/l7/limited_count.h"
#include "lb/l7/rate_limiter.h"
#include "lb/l7/route_table.h"

namespace sluice::l7 {

/// The rate limits of routes that have one, shared by all workers.
using LimiterMap = std::unordered_map<const MatchedRoute*, std::shared_ptr<RateLimiter>>;

/// What the workers count together, whatever the configuration. A request touches none of it.
struct ProxyShared {
  ProcessMemory memory;
  alignas(64) LimitedCount clients;
};

struct ProxySnapshot {
  struct Cluster {
    EndpointSet::Pointer endpoints;
    std::shared_ptr<CircuitBreakers> breakers;
    std::shared_ptr<PerWorker<ClusterCounters>> counters;
  };
  std::shared_ptr<const ProxySettings> settings;
  std::unordered_map<std::string, Cluster> clusters;  ///< by name, one for each of settings->clusters
  std::vector<RouteTable::Pointer> routes;            ///< of each of settings->listeners
  std::vector<ListenerTraffic::Pointer> traffic;      ///< likewise
  LimiterMap limiters;
  std::vector<std::shared_ptr<LimitedCount>> clients;  ///< connected to each of settings->listeners
  std::shared_ptr<ProxyShared> shared;
  std::shared_ptr<const TlsContexts> tls;
  std::shared_ptr<AccessLogRings> access_log;  ///< nullptr: no listener ever had one
  SpanRings::Pointer spans;                    ///< nullptr: nothing was ever traced
};

/// Builds it from settings; reads the files of certificates. `previous` is the one that it replaces, or
/// nullptr: listeners, routes and clusters that stay keep their counters, and endpoints that stay what is
/// known of them. Without it, tickets are sealed with `ticket_keys`, or with new ones. Errors name the
/// cluster, or the listener and route.
Result<ProxySnapshot> build_snapshot(std::shared_ptr<const ProxySettings> settings,
                                     const ProxySnapshot* previous, PickTime now,
                                     std::shared_ptr<TlsTicketKeys> ticket_keys = nullptr);

}  // namespace sluice::l7
