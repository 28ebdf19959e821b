#include "dataplane/l7/snapshot.h"

#include <fmt/format.h>

#include <algorithm>

namespace sluice::l7 {
namespace {

Result<ProxySnapshot::Cluster> build_cluster(const ClusterSettings& settings, const ProxySnapshot* previous,
                                             uint32_t workers, PickTime now) {
  const ProxySnapshot::Cluster* before = nullptr;
  if (previous != nullptr) {
    const auto found = previous->clusters.find(settings.name);
    if (found != previous->clusters.end()) before = &found->second;
  }
  std::vector<Endpoint> endpoints = settings.endpoints;
  for (Endpoint& endpoint : endpoints) {
    const auto known = before == nullptr ? std::nullopt : before->endpoints->find(endpoint.id);
    if (!known) continue;
    const Endpoint& same = before->endpoints->endpoints()[*known];
    endpoint.healthy = same.healthy;
    endpoint.ejected = same.ejected;
    endpoint.draining = same.draining;
  }
  auto set = EndpointSet::build(settings.pick, std::move(endpoints),
                                before == nullptr ? nullptr : before->endpoints.get(), now, workers);
  if (!set) return fail(fmt::format("cluster {}: {}", settings.name, set.error().message));
  if (before != nullptr) return ProxySnapshot::Cluster{*std::move(set), before->breakers, before->counters};
  return ProxySnapshot::Cluster{*std::move(set), std::make_shared<CircuitBreakers>(),
                                std::make_shared<PerWorker<ClusterCounters>>(workers)};
}

const ListenerTraffic* traffic_before(const ProxySnapshot* previous, const std::string& listener) {
  if (previous == nullptr) return nullptr;
  const auto& listeners = previous->settings->listeners;
  const auto same = std::ranges::find(listeners, listener, &ListenerSettings::name);
  return same == listeners.end() ? nullptr
                                 : previous->traffic[static_cast<size_t>(same - listeners.begin())].get();
}

// A listener that stays, by its name, keeps the count of its clients.
std::shared_ptr<LimitedCount> client_count(const ListenerSettings& listener, const ProxySnapshot* previous) {
  for (size_t i = 0; previous != nullptr && i < previous->clients.size(); ++i) {
    if (previous->settings->listeners[i].name == listener.name) return previous->clients[i];
  }
  return std::make_shared<LimitedCount>();
}

}  // namespace

Result<ProxySnapshot> build_snapshot(std::shared_ptr<const ProxySettings> settings,
                                     const ProxySnapshot* previous, PickTime now,
                                     std::shared_ptr<TlsTicketKeys> ticket_keys) {
  ProxySnapshot snapshot;
  if (previous != nullptr) ticket_keys = previous->tls->ticket_keys;
  auto tls = load_tls_contexts(*settings, std::move(ticket_keys), std::chrono::system_clock::now());
  if (!tls) return tl::unexpected(tls.error());
  snapshot.tls = std::make_shared<TlsContexts>(*std::move(tls));
  std::vector<std::string> names;
  for (const ClusterSettings& cluster : settings->clusters) {
    auto built = build_cluster(cluster, previous, settings->workers, now);
    if (!built) return tl::unexpected(built.error());
    snapshot.clusters[cluster.name] = *std::move(built);
    names.push_back(cluster.name);
  }
  for (const ListenerSettings& listener : settings->listeners) {
    auto table = RouteTable::build(listener.routes, names);
    if (!table) return fail(fmt::format("listener {}: {}", listener.name, table.error().message));
    (*table)->for_each_route([&snapshot](const MatchedRoute& route) {
      const RoutePolicy& policy = route.route().policy;
      if (!policy.rate_limit) return;
      snapshot.limiters[&route] =
          std::make_shared<RateLimiter>(*policy.rate_limit, !policy.rate_limit_key.empty());
    });
    snapshot.traffic.push_back(ListenerTraffic::build(**table, settings->workers, settings->count_routes,
                                                      traffic_before(previous, listener.name)));
    snapshot.routes.push_back(*std::move(table));
    snapshot.clients.push_back(client_count(listener, previous));
  }
  snapshot.shared = previous == nullptr ? std::make_shared<ProxyShared>() : previous->shared;
  const auto logs = [](const ListenerSettings& listener) { return listener.access_log != nullptr; };
  if (previous != nullptr) snapshot.access_log = previous->access_log;
  if (!snapshot.access_log && std::ranges::any_of(settings->listeners, logs)) {
    snapshot.access_log = std::make_shared<AccessLogRings>(settings->workers);
    if (!snapshot.access_log->bell.good())
      return fail("access_log: no descriptor is left; raise the limit of open files");
  }
  if (previous != nullptr) snapshot.spans = previous->spans;
  if (!snapshot.spans && settings->tracing) snapshot.spans = std::make_shared<SpanRings>(settings->workers);
  snapshot.settings = std::move(settings);
  return snapshot;
}

}  // namespace sluice::l7
