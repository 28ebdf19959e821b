#include "control/proxy/proxy_traffic_metrics.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice {
namespace {

using enum MetricKind;
using l7::PerWorker;

constexpr Metric kListenerClients{"sluice_proxy_listener_clients", kGauge, "listener, protocol",
                                  "Clients connected; `none`: they have not begun to speak."};
constexpr Metric kListenerConnections{
    "sluice_proxy_listener_connections_total", kCounter, "listener, protocol",
    "Clients' connections by what they spoke first; `none`: over before they spoke."};
constexpr Metric kListenerOpen{"sluice_proxy_listener_open_requests", kGauge, "listener",
                               "Requests that have come and are not over."};
constexpr Metric kListenerRequests{"sluice_proxy_listener_requests_total", kCounter, "listener, outcome",
                                   "Requests that have ended, by how; see l7-outcomes.md."};
constexpr Metric kListenerReceived{"sluice_proxy_listener_received_bytes_total", kCounter, "listener",
                                   "Bytes of HTTP from clients; TLS not counted."};
constexpr Metric kListenerSent{"sluice_proxy_listener_sent_bytes_total", kCounter, "listener",
                               "Bytes of HTTP to clients; TLS not counted."};

constexpr Metric kRouteRequests{"sluice_proxy_route_requests_total", kCounter,
                                "listener, host, route, outcome",
                                "Requests of the route that have ended, by how; those that were seen."};
constexpr Metric kRouteResponses{
    "sluice_proxy_route_responses_total", kCounter, "listener, host, route, status",
    "The same by the class of the status that went to the client; those that were seen."};
constexpr Metric kRouteGrpc{"sluice_proxy_route_grpc_status_total", kCounter, "listener, host, route, code",
                            "gRPC calls that have ended, by their status; those that were seen."};
constexpr Metric kRouteSeconds{"sluice_proxy_route_request_seconds", kHistogram, "listener, host, route",
                               "Time from a request's head to the end of its answer."};
constexpr Metric kRouteRequestBytes{"sluice_proxy_route_request_bytes_total", kCounter,
                                    "listener, host, route", "Bytes of requests' bodies."};
constexpr Metric kRouteResponseBytes{"sluice_proxy_route_response_bytes_total", kCounter,
                                     "listener, host, route", "Bytes of answers' bodies."};

constexpr Metric kClusterRequests{
    "sluice_proxy_cluster_requests_total", kCounter, "cluster, outcome",
    "Requests for the cluster that have ended, by how; copies for mirrors included."};
constexpr Metric kClusterGrpc{"sluice_proxy_cluster_grpc_status_total", kCounter, "cluster, code",
                              "gRPC calls that have ended, by their status; those that were seen."};
constexpr Metric kClusterFirstByte{"sluice_proxy_cluster_first_byte_seconds", kHistogram, "cluster",
                                   "Time from a request sent whole to the head of its answer; each try."};
constexpr Metric kClusterRetries{"sluice_proxy_cluster_retries_total", kCounter, "cluster",
                                 "Requests sent again after a failure."};
constexpr Metric kClusterMoves{"sluice_proxy_cluster_moves_total", kCounter, "cluster",
                               "Requests sent again because a connection ended in order (GOAWAY)."};
constexpr Metric kClusterPending{"sluice_proxy_cluster_pending_requests", kGauge, "cluster",
                                 "Requests that wait for a connection."};
constexpr Metric kClusterConnections{"sluice_proxy_cluster_connections", kGauge, "cluster, protocol",
                                     "Connections to endpoints, and attempts under way."};
constexpr Metric kClusterConnects{"sluice_proxy_cluster_connects_total", kCounter, "cluster",
                                  "Attempts to connect to an endpoint."};
constexpr Metric kClusterConnectFailures{"sluice_proxy_cluster_connect_failures_total", kCounter, "cluster",
                                         "Those of them that failed."};
constexpr Metric kClusterSilences{
    "sluice_proxy_cluster_ping_timeouts_total", kCounter, "cluster",
    "Connections given up because the endpoint left a PING without an answer (`ping_timeout`)."};
constexpr Metric kClusterReceived{"sluice_proxy_cluster_received_bytes_total", kCounter, "cluster",
                                  "Bytes of HTTP from endpoints; TLS not counted."};
constexpr Metric kClusterSent{"sluice_proxy_cluster_sent_bytes_total", kCounter, "cluster",
                              "Bytes of HTTP to endpoints; TLS not counted."};

constexpr Metric kEndpointConnections{"sluice_proxy_endpoint_connections", kGauge, "cluster, endpoint",
                                      "Connections there, and attempts under way."};
constexpr Metric kEndpointConnectFailures{"sluice_proxy_endpoint_connect_failures_total", kCounter,
                                          "cluster, endpoint", "Attempts to connect that failed."};
constexpr Metric kEndpointAnswers{"sluice_proxy_endpoint_answers_total", kCounter, "cluster, endpoint",
                                  "Answers whose head has come, those that were retried included."};
constexpr Metric kEndpointFirstByte{
    "sluice_proxy_endpoint_first_byte_seconds_total", kCounter, "cluster, endpoint",
    "The times until those heads came, added up: divided by their number the mean."};

constexpr Metric kAll[] = {kListenerClients,
                           kListenerConnections,
                           kListenerOpen,
                           kListenerRequests,
                           kListenerReceived,
                           kListenerSent,
                           kRouteRequests,
                           kRouteResponses,
                           kRouteGrpc,
                           kRouteSeconds,
                           kRouteRequestBytes,
                           kRouteResponseBytes,
                           kClusterRequests,
                           kClusterGrpc,
                           kClusterFirstByte,
                           kClusterRetries,
                           kClusterMoves,
                           kClusterPending,
                           kClusterConnections,
                           kClusterConnects,
                           kClusterConnectFailures,
                           kClusterSilences,
                           kClusterReceived,
                           kClusterSent,
                           kEndpointConnections,
                           kEndpointConnectFailures,
                           kEndpointAnswers,
                           kEndpointFirstByte};

constexpr std::array<std::string_view, l7::kSpokenProtocols> kProtocols = {"none", "http1", "http2"};
constexpr std::array<std::string_view, l7::kStatusClasses> kStatuses = {"none", "1xx", "2xx",
                                                                        "3xx",  "4xx", "5xx"};

/// What is counted under one set of labels.
template <typename Block>
struct Counted {
  std::string labels;
  const PerWorker<Block>* counters;
};

template <typename Block>
using All = std::vector<Counted<Block>>;

template <typename Block, typename Value>
void write_sums(Exposition& text, const Metric& metric, const All<Block>& all, Value value) {
  text.begin(metric);
  for (const auto& one : all) text.sample(one.labels, one.counters->sum(value));
}

/// One sample for each of an array of counters, `name(i)` as its label; without `zeros` only what was seen.
template <typename Block, typename Name, typename Array>
void write_array(Exposition& text, const Metric& metric, const All<Block>& all, std::string_view label,
                 Name name, Array Block::*array, bool zeros) {
  text.begin(metric);
  for (const auto& one : all) {
    for (size_t i = 0; i < std::tuple_size_v<Array>; ++i) {
      const uint64_t count = one.counters->sum([&](const Block& block) { return (block.*array)[i].read(); });
      if (zeros || count != 0) text.sample(one.labels + "," + label_set({{label, name(i)}}), count);
    }
  }
}

template <typename Block>
void write_times(Exposition& text, const Metric& metric, const All<Block>& all,
                 l7::TimeHistogram Block::*histogram) {
  text.begin(metric);
  for (const auto& one : all) {
    std::array<uint64_t, l7::kSecondsBuckets> buckets{};
    uint64_t nanoseconds = 0;
    one.counters->for_each(
        [&](const Block& block) { add_histogram(block.*histogram, buckets, nanoseconds); });
    text.histogram(one.labels, l7::kSecondsBounds, buckets, static_cast<double>(nanoseconds) / 1e9);
  }
}

std::string_view outcome_name(size_t outcome) {
  return l7::kOutcomeTexts[outcome].name;
}
std::string_view code_name(size_t code) {
  return grpc_status_name(static_cast<GrpcStatus>(code));
}

void write_listeners(Exposition& text, const l7::ProxySnapshot& snapshot) {
  using Block = l7::ListenerCounters;
  All<Block> all;
  for (size_t i = 0; i < snapshot.traffic.size(); ++i) {
    all.push_back({label_set({{"listener", snapshot.settings->listeners[i].name}}),
                   snapshot.traffic[i]->counters().get()});
  }
  const auto protocol = [](size_t i) { return kProtocols[i]; };
  write_array(text, kListenerClients, all, "protocol", protocol, &Block::clients, true);
  write_array(text, kListenerConnections, all, "protocol", protocol, &Block::connections, true);
  // Read one after the other: a request that begins and ends in between must not make it negative.
  text.begin(kListenerOpen);
  for (const auto& one : all) {
    const uint64_t ended = one.counters->sum([](const Block& block) { return block.requests_ended.read(); });
    const uint64_t begun = one.counters->sum([](const Block& block) { return block.requests_begun.read(); });
    text.sample(one.labels, begun - ended);
  }
  write_array(text, kListenerRequests, all, "outcome", outcome_name, &Block::outcomes, true);
  write_sums(text, kListenerReceived, all, [](const Block& block) { return block.bytes.received.read(); });
  write_sums(text, kListenerSent, all, [](const Block& block) { return block.bytes.sent.read(); });
}

void write_routes(Exposition& text, const l7::ProxySnapshot& snapshot) {
  using Block = l7::RouteCounters;
  All<Block> all;
  for (size_t i = 0; i < snapshot.traffic.size(); ++i) {
    for (const auto& [name, counters] : snapshot.traffic[i]->routes()) {
      all.push_back({label_set({{"listener", snapshot.settings->listeners[i].name},
                                {"host", name.first},
                                {"route", name.second}}),
                     counters.get()});
    }
  }
  const auto status = [](size_t i) { return kStatuses[i]; };
  write_array(text, kRouteRequests, all, "outcome", outcome_name, &Block::outcomes, false);
  write_array(text, kRouteResponses, all, "status", status, &Block::statuses, false);
  write_array(text, kRouteGrpc, all, "code", code_name, &Block::grpc, false);
  write_times(text, kRouteSeconds, all, &Block::seconds);
  write_sums(text, kRouteRequestBytes, all, [](const Block& block) { return block.request_bytes.read(); });
  write_sums(text, kRouteResponseBytes, all, [](const Block& block) { return block.response_bytes.read(); });
}

void write_clusters(Exposition& text, const l7::ProxySnapshot& snapshot) {
  using Block = l7::ClusterCounters;
  All<Block> all;
  for (const auto& settings : snapshot.settings->clusters) {
    all.push_back(
        {label_set({{"cluster", settings.name}}), snapshot.clusters.at(settings.name).counters.get()});
  }
  write_array(text, kClusterRequests, all, "outcome", outcome_name, &Block::outcomes, true);
  write_array(text, kClusterGrpc, all, "code", code_name, &Block::grpc, false);
  write_times(text, kClusterFirstByte, all, &Block::first_byte);
  write_sums(text, kClusterRetries, all, [](const Block& block) { return block.retries.read(); });
  write_sums(text, kClusterMoves, all, [](const Block& block) { return block.moves.read(); });
  text.begin(kClusterPending);
  for (const auto& settings : snapshot.settings->clusters) {
    text.sample(label_set({{"cluster", settings.name}}),
                uint64_t{snapshot.clusters.at(settings.name).breakers->pending.count()});
  }
  text.begin(kClusterConnections);
  for (const auto& settings : snapshot.settings->clusters) {
    const bool http2 = settings.protocol == l7::HttpVersion::kHttp2;
    text.sample(label_set({{"cluster", settings.name}, {"protocol", http2 ? "http2" : "http1"}}),
                uint64_t{snapshot.clusters.at(settings.name).breakers->connections.count()});
  }
  write_sums(text, kClusterConnects, all, [](const Block& block) { return block.connects.read(); });
  write_sums(text, kClusterConnectFailures, all,
             [](const Block& block) { return block.connect_failures.read(); });
  write_sums(text, kClusterSilences, all, [](const Block& block) { return block.silences.read(); });
  write_sums(text, kClusterReceived, all, [](const Block& block) { return block.bytes.received.read(); });
  write_sums(text, kClusterSent, all, [](const Block& block) { return block.bytes.sent.read(); });
}

template <typename Value>
void write_endpoints(Exposition& text, const Metric& metric, const l7::ProxySnapshot& snapshot, Value value) {
  text.begin(metric);
  for (const auto& settings : snapshot.settings->clusters) {
    const EndpointSet& set = *snapshot.clusters.at(settings.name).endpoints;
    for (uint32_t i = 0; i < set.endpoints().size(); ++i) {
      text.sample(label_set({{"cluster", settings.name}, {"endpoint", set.endpoints()[i].id.to_string()}}),
                  value(*set.state(i)->traffic));
    }
  }
}

void write_endpoints(Exposition& text, const l7::ProxySnapshot& snapshot) {
  write_endpoints(text, kEndpointConnections, snapshot, [](const EndpointTraffic& traffic) {
    const uint64_t over = traffic.sum([](const EndpointCounters& c) { return c.connections_over.read(); });
    return traffic.sum([](const EndpointCounters& c) { return c.connections_made.read(); }) - over;
  });
  write_endpoints(text, kEndpointConnectFailures, snapshot, [](const EndpointTraffic& traffic) {
    return traffic.sum([](const EndpointCounters& c) { return c.connect_failures.read(); });
  });
  write_endpoints(text, kEndpointAnswers, snapshot, [](const EndpointTraffic& traffic) {
    return traffic.sum([](const EndpointCounters& c) { return c.answers.read(); });
  });
  write_endpoints(text, kEndpointFirstByte, snapshot, [](const EndpointTraffic& traffic) {
    const uint64_t sum =
        traffic.sum([](const EndpointCounters& c) { return c.first_byte_nanoseconds.read(); });
    return static_cast<double>(sum) / 1e9;
  });
}

}  // namespace

std::span<const Metric> proxy_traffic_metrics() {
  return kAll;
}

void add_histogram(const l7::TimeHistogram& histogram, std::array<uint64_t, l7::kSecondsBuckets>& buckets,
                   uint64_t& nanoseconds) {
  for (size_t i = 0; i < buckets.size(); ++i) buckets[i] += histogram.buckets[i].read();
  nanoseconds += histogram.nanoseconds.read();
}

void write_proxy_traffic(Exposition& text, const l7::ProxySnapshot& snapshot) {
  write_listeners(text, snapshot);
  write_routes(text, snapshot);
  write_clusters(text, snapshot);
  write_endpoints(text, snapshot);
}

}  // namespace sluice
