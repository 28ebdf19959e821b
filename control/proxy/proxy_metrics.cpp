#include "control/proxy/proxy_metrics.h"

#include <algorithm>
#include <array>
#include <functional>
#include <vector>

#include "control/proxy/proxy_traffic_metrics.h"
#include "dataplane/l7/tls_failure.h"

namespace sluice {
namespace {

using enum MetricKind;

constexpr Metric kInfo{"sluice_proxy_info", kGauge, "proxy, version", "1: what runs."};
constexpr Metric kReload{"sluice_proxy_config_last_reload_successful", kGauge, "",
                         "0 after a reload that was refused."};
constexpr Metric kDraining{"sluice_proxy_draining", kGauge, "", "1 while the proxy drains."};
constexpr Metric kRequests{"sluice_proxy_requests_total", kCounter, "outcome",
                           "Requests that have ended, by how; see l7-outcomes.md."};
constexpr Metric kHedged{"sluice_proxy_hedged_requests_total", kCounter, "result",
                         "Second tries beside a slow first one: sent, and those of them that won."};
constexpr Metric kMirrored{
    "sluice_proxy_mirrored_requests_total", kCounter, "outcome",
    "Copies of requests for mirrors that have ended, by how; too_large: the endpoint was "
    "too far behind."};
constexpr Metric kSeconds{"sluice_proxy_request_seconds", kHistogram, "",
                          "Time from a request's head to the end of its answer."};
constexpr Metric kClients{"sluice_proxy_clients", kGauge, "", "Clients connected."};
constexpr Metric kConnections{"sluice_proxy_client_connections_total", kCounter, "",
                              "Connections taken from clients."};
constexpr Metric kAcceptFailures{
    "sluice_proxy_accept_failures_total", kCounter, "",
    "Times that no descriptor or memory was left for a client; it waits, and is tried again."};
constexpr Metric kDefended{"sluice_proxy_defence_total", kCounter, "side, reason",
                           "What was refused or ended because a client or an endpoint took more than its "
                           "share, by reason; see l7-defences.md."};
constexpr Metric kMemory{"sluice_proxy_memory_bytes", kGauge, "",
                         "Bytes that clients and endpoints make the proxy hold, as it counts them."};
constexpr Metric kMemoryLimit{"sluice_proxy_memory_limit_bytes", kGauge, "",
                              "proxy.memory_limit: at four fifths of it clients are refused."};
constexpr Metric kHandshakes{"sluice_proxy_tls_handshakes_total", kCounter, "side",
                             "TLS handshakes that came to an end, with clients or endpoints."};
constexpr Metric kResumed{"sluice_proxy_tls_resumed_total", kCounter, "side",
                          "Those of them that resumed a session."};
constexpr Metric kTlsFailures{"sluice_proxy_tls_failures_total", kCounter, "side, reason",
                              "TLS connections that failed, by what was wrong."};
constexpr Metric kSpansExported{"sluice_proxy_trace_spans_exported_total", kCounter, "",
                                "Spans that the collector has taken."};
constexpr Metric kSpansDropped{"sluice_proxy_trace_spans_dropped_total", kCounter, "reason",
                               "Spans that the collector has not got, by why; see tracing.md."};
constexpr Metric kSpanFailures{"sluice_proxy_trace_export_failures_total", kCounter, "reason",
                               "Requests to the collector that failed; what can be sent again is."};
constexpr Metric kClusterRequests{"sluice_proxy_cluster_active_requests", kGauge, "cluster",
                                  "Requests sent and not ended."};
constexpr Metric kClusterRefused{
    "sluice_proxy_cluster_refused_total", kCounter, "cluster, limit",
    "Requests beyond max_requests or max_pending, connections not made because of max_connections, and "
    "retries beyond the retry budget."};
constexpr Metric kEndpointRequests{"sluice_proxy_endpoint_requests_total", kCounter, "cluster, endpoint",
                                   "Requests that ended there."};
constexpr Metric kEndpointFailures{"sluice_proxy_endpoint_failures_total", kCounter, "cluster, endpoint",
                                   "Those of them that were the endpoint's failure."};
constexpr Metric kEndpointActive{"sluice_proxy_endpoint_active_requests", kGauge, "cluster, endpoint",
                                 "Requests open there."};
constexpr Metric kEndpointHealthy{"sluice_proxy_endpoint_healthy", kGauge, "cluster, endpoint",
                                  "1 if its health checks say so."};
constexpr Metric kLogWritten{"sluice_proxy_access_log_lines_total", kCounter, "",
                             "Lines of access logs that were written."};
constexpr Metric kLogDropped{
    "sluice_proxy_access_log_dropped_total", kCounter, "reason",
    "Those that were not: buffer_full, the writer was behind; write_failed, the file did "
    "not take them."};
constexpr Metric kEndpointEjected{"sluice_proxy_endpoint_ejected", kGauge, "cluster, endpoint",
                                  "1 while it is ejected for bad answers."};
constexpr Metric kDiscoveryAnswers{"sluice_proxy_discovery_answers_total", kCounter, "cluster, result",
                                   "Answers of name servers, or versions of a file, that say where the "
                                   "cluster's endpoints are: good, empty or "
                                   "failed."};
constexpr Metric kDiscoveryAge{
    "sluice_proxy_discovery_age_seconds", kGauge, "cluster",
    "Time since the last good answer, of the name that has waited longest for one; 0 while a file is good."};
constexpr Metric kDiscoveryEndpoints{"sluice_proxy_discovery_endpoints", kGauge, "cluster",
                                     "Endpoints that are known of a cluster that does not list them."};

constexpr std::array kAll{kInfo,
                          kReload,
                          kDraining,
                          kRequests,
                          kHedged,
                          kMirrored,
                          kSeconds,
                          kClients,
                          kConnections,
                          kAcceptFailures,
                          kDefended,
                          kMemory,
                          kMemoryLimit,
                          kHandshakes,
                          kResumed,
                          kTlsFailures,
                          kSpansExported,
                          kSpansDropped,
                          kSpanFailures,
                          kClusterRequests,
                          kClusterRefused,
                          kEndpointRequests,
                          kEndpointFailures,
                          kEndpointActive,
                          kEndpointHealthy,
                          kEndpointEjected,
                          kDiscoveryAnswers,
                          kDiscoveryAge,
                          kDiscoveryEndpoints,
                          kLogWritten,
                          kLogDropped};

void write_outcomes(Exposition& text, const Metric& metric, const l7::Proxy& proxy,
                    l7::OutcomeCounters l7::WorkerCounters::*counters) {
  text.begin(metric);
  for (size_t i = 0; i < l7::kOutcomes; ++i) {
    uint64_t sum = 0;
    proxy.for_each_worker([&](const l7::Worker& worker) { sum += (worker.counters().*counters)[i].read(); });
    text.sample(label_set({{"outcome", l7::kOutcomeTexts[i].name}}), sum);
  }
}

void write_requests(Exposition& text, const l7::Proxy& proxy) {
  write_outcomes(text, kRequests, proxy, &l7::WorkerCounters::outcomes);
  uint64_t hedges = 0;
  uint64_t hedges_won = 0;
  proxy.for_each_worker([&](const l7::Worker& worker) {
    hedges += worker.counters().hedges.read();
    hedges_won += worker.counters().hedges_won.read();
  });
  text.begin(kHedged);
  text.sample(label_set({{"result", "sent"}}), hedges);
  text.sample(label_set({{"result", "won"}}), hedges_won);
  write_outcomes(text, kMirrored, proxy, &l7::WorkerCounters::copies);
  std::array<uint64_t, l7::kSecondsBuckets> buckets{};
  uint64_t nanoseconds = 0;
  uint64_t connections = 0;
  uint64_t accept_failures = 0;
  proxy.for_each_worker([&](const l7::Worker& worker) {
    add_histogram(worker.counters().request_seconds, buckets, nanoseconds);
    connections += worker.counters().clients.read();
    accept_failures += worker.counters().accept_failures.read();
  });
  text.begin(kSeconds);
  text.histogram("", l7::kSecondsBounds, buckets, static_cast<double>(nanoseconds) / 1e9);
  text.begin(kClients);
  text.sample("", proxy.clients());
  text.begin(kConnections);
  text.sample("", connections);
  text.begin(kAcceptFailures);
  text.sample("", accept_failures);
}

using TlsValue = std::function<uint64_t(const l7::TlsCounters&)>;

uint64_t sum_of(const l7::Proxy& proxy, bool clients, const TlsValue& value) {
  uint64_t sum = 0;
  proxy.for_each_worker(
      [&](const l7::Worker& worker) { sum += value(clients ? worker.client_tls() : worker.upstream_tls()); });
  return sum;
}

void write_tls(Exposition& text, const l7::Proxy& proxy) {
  constexpr std::array<std::pair<std::string_view, bool>, 2> kSides{{{"client", true}, {"endpoint", false}}};
  text.begin(kHandshakes);
  for (const auto& [side, clients] : kSides) {
    text.sample(label_set({{"side", side}}),
                sum_of(proxy, clients, [](const l7::TlsCounters& tls) { return tls.handshakes.read(); }));
  }
  text.begin(kResumed);
  for (const auto& [side, clients] : kSides) {
    text.sample(label_set({{"side", side}}),
                sum_of(proxy, clients, [](const l7::TlsCounters& tls) { return tls.resumed.read(); }));
  }
  text.begin(kTlsFailures);
  for (const auto& [side, clients] : kSides) {
    for (size_t i = 1; i < l7::kTlsFailureKinds; ++i) {
      text.sample(
          label_set({{"side", side}, {"reason", l7::tls_failure_name(static_cast<l7::TlsFailure>(i))}}),
          sum_of(proxy, clients, [i](const l7::TlsCounters& tls) { return tls.failures[i].read(); }));
    }
  }
}

void write_defences(Exposition& text, const l7::Proxy& proxy) {
  text.begin(kDefended);
  for (const bool client : {true, false}) {
    for (size_t i = 1; i < l7::kDefences; ++i) {
      uint64_t sum = 0;
      proxy.for_each_worker([&](const l7::Worker& worker) {
        const l7::WorkerCounters& counters = worker.counters();
        sum += (client ? counters.client_defences : counters.endpoint_defences)[i].read();
      });
      const l7::DefenceText& defence = l7::kDefenceTexts[i];
      if (!is_against(defence, client ? l7::DefenceSide::kClients : l7::DefenceSide::kEndpoints)) continue;
      text.sample(label_set({{"side", client ? "client" : "endpoint"}, {"reason", defence.name}}), sum);
    }
  }
  const l7::ProcessMemory& memory = proxy.snapshot().shared->memory;
  text.begin(kMemory);
  text.sample("", static_cast<uint64_t>(std::max<int64_t>(memory.held(), 0)));
  text.begin(kMemoryLimit);
  text.sample("", memory.limit());
}

void write_trace_export(Exposition& text, const control::TraceExportCounts& counts) {
  text.begin(kSpansExported);
  text.sample("", counts.exported);
  text.begin(kSpansDropped);
  for (size_t i = 0; i < control::kSpanLosses; ++i)
    text.sample(label_set({{"reason", span_loss_name(static_cast<control::SpanLoss>(i))}}),
                counts.dropped[i]);
  text.begin(kSpanFailures);
  for (size_t i = 0; i < control::kOtlpFailures; ++i)
    text.sample(label_set({{"reason", otlp_failure_name(static_cast<control::OtlpFailure>(i))}}),
                counts.failures[i]);
}

void write_clusters(Exposition& text, const l7::ProxySnapshot& snapshot) {
  text.begin(kClusterRequests);
  for (const auto& settings : snapshot.settings->clusters) {
    const auto& cluster = snapshot.clusters.at(settings.name);
    text.sample(label_set({{"cluster", settings.name}}), uint64_t{cluster.breakers->requests.count()});
  }
  text.begin(kClusterRefused);
  for (const auto& settings : snapshot.settings->clusters) {
    const auto& breakers = *snapshot.clusters.at(settings.name).breakers;
    text.sample(label_set({{"cluster", settings.name}, {"limit", "max_connections"}}),
                breakers.connections.refused());
    text.sample(label_set({{"cluster", settings.name}, {"limit", "max_pending"}}),
                breakers.pending.refused());
    text.sample(label_set({{"cluster", settings.name}, {"limit", "max_requests"}}),
                breakers.requests.refused());
    text.sample(label_set({{"cluster", settings.name}, {"limit", "retry_budget"}}),
                breakers.retries.refused());
  }
  const auto endpoints = [&](const Metric& metric, auto value) {
    text.begin(metric);
    for (const auto& settings : snapshot.settings->clusters) {
      const EndpointSet& set = *snapshot.clusters.at(settings.name).endpoints;
      for (uint32_t i = 0; i < set.endpoints().size(); ++i) {
        const Endpoint& endpoint = set.endpoints()[i];
        text.sample(label_set({{"cluster", settings.name}, {"endpoint", endpoint.id.to_string()}}),
                    uint64_t{value(endpoint, *set.state(i))});
      }
    }
  };
  endpoints(kEndpointRequests,
            [](const Endpoint&, const EndpointState& state) { return state.results.counts().requests; });
  endpoints(kEndpointFailures,
            [](const Endpoint&, const EndpointState& state) { return state.results.counts().failures; });
  endpoints(kEndpointActive,
            [](const Endpoint&, const EndpointState& state) { return state.active_requests(); });
  endpoints(kEndpointHealthy,
            [](const Endpoint& endpoint, const EndpointState&) { return endpoint.healthy; });
  endpoints(kEndpointEjected,
            [](const Endpoint& endpoint, const EndpointState&) { return endpoint.ejected; });
}

void write_discoveries(Exposition& text, std::span<const control::DiscoveryStatus> all) {
  text.begin(kDiscoveryAnswers);
  for (const auto& status : all) {
    const auto count = [&](std::string_view result, uint64_t value) {
      text.sample(label_set({{"cluster", status.cluster}, {"result", result}}), value);
    };
    count("good", status.good);
    count("empty", status.empty);
    count("failed", status.failed);
  }
  text.begin(kDiscoveryAge);
  for (const auto& status : all) {
    text.sample(label_set({{"cluster", status.cluster}}), std::chrono::duration<double>(status.age).count());
  }
  text.begin(kDiscoveryEndpoints);
  for (const auto& status : all)
    text.sample(label_set({{"cluster", status.cluster}}), uint64_t{status.endpoints});
}

void write_access_log(Exposition& text, const l7::AccessLogRings* log) {
  text.begin(kLogWritten);
  text.sample("", log == nullptr ? 0 : log->written.read());
  text.begin(kLogDropped);
  text.sample(label_set({{"reason", "buffer_full"}}), log == nullptr ? 0 : log->dropped());
  text.sample(label_set({{"reason", "write_failed"}}), log == nullptr ? 0 : log->unwritten.read());
}

}  // namespace

std::span<const Metric> proxy_metrics() {
  static const std::vector<Metric> all = [] {
    std::vector<Metric> both(kAll.begin(), kAll.end());
    both.insert(both.end(), proxy_traffic_metrics().begin(), proxy_traffic_metrics().end());
    return both;
  }();
  return all;
}

std::string render_proxy_metrics(const ProxyMetricsInput& input, const l7::Proxy& proxy) {
  Exposition text;
  text.begin(kInfo);
  text.sample(label_set({{"proxy", input.name}, {"version", input.version}}), uint64_t{1});
  text.begin(kReload);
  text.sample("", uint64_t{input.reload_good});
  text.begin(kDraining);
  text.sample("", uint64_t{input.draining});
  write_requests(text, proxy);
  write_defences(text, proxy);
  write_tls(text, proxy);
  write_trace_export(text, input.trace);
  write_clusters(text, proxy.snapshot());
  write_discoveries(text, input.discoveries);
  write_proxy_traffic(text, proxy.snapshot());
  write_access_log(text, proxy.snapshot().access_log.get());
  return text.take();
}

}  // namespace sluice
