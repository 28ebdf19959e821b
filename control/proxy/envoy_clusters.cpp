#include "control/proxy/envoy_clusters.h"

#include <fmt/format.h>

#include <algorithm>

#include "control/proxy/envoy_endpoints.h"
#include "control/proxy/envoy_health.h"
#include "control/proxy/envoy_listeners.h"
#include "control/proxy/envoy_tls.h"

namespace sluice {
namespace {

using l7::ClusterSettings;
using l7::HttpVersion;

constexpr uint32_t kHttp1Connections = 1024;
constexpr std::string_view kHttpOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

void read_keepalive(const EnvoyMessage& keepalive, ClusterSettings& settings) {
  if (!keepalive.present()) return;
  keepalive.require("timeout");
  // Nobody could answer within no time.
  const auto read = [&keepalive](std::string_view field, std::chrono::milliseconds& time) {
    const YamlNode* found = keepalive.duration(field, time);
    if (found != nullptr && time.count() == 0) keepalive.refuse(*found, field, "accepted: at least 0.001s");
  };
  read("interval", settings.ping_interval);
  read("timeout", settings.ping_timeout);
}

void read_http2(const EnvoyMessage& http2, ClusterSettings& settings) {
  if (!http2.present()) return;
  settings.protocol = HttpVersion::kHttp2;
  http2.number("initial_stream_window_size", settings.http2.stream_window, 65535, 0x7fffffff);
  http2.number("initial_connection_window_size", settings.http2.connection_window, 65535, 0x7fffffff);
  http2.number("max_concurrent_streams", settings.http2.max_concurrent_streams, 1, 0x7fffffff);
  read_envoy_malformed(http2, settings.http2.malformed_ends_connection);
  read_keepalive(http2.message("connection_keepalive", "KeepaliveSettings"), settings);
}

/// typed_extension_protocol_options: a map with the type as its key.
void read_http_options(const EnvoyMessage& cluster, ClusterSettings& settings) {
  const EnvoyMessage all =
      cluster.message("typed_extension_protocol_options", "TypedExtensionProtocolOptions");
  const EnvoyMessage options =
      all.typed(kHttpOptions, "envoy.extensions.upstreams.http.v3", "HttpProtocolOptions");
  if (!options.present()) return;
  options.require("explicit_http_config");
  const EnvoyMessage explicitly = options.message("explicit_http_config", "ExplicitHttpConfig");
  explicitly.one_of({"http_protocol_options", "http2_protocol_options"});
  if (explicitly.find("http_protocol_options") != nullptr) {
    settings.protocol = HttpVersion::kHttp1;
    settings.ping_interval = {};  // of the cluster's older field: HTTP/1.1 has no PING
  }
  read_http2(explicitly.message("http2_protocol_options", "Http2ProtocolOptions"), settings);
}

void read_slow_start(const EnvoyMessage& config, SlowStart& slow) {
  const EnvoyMessage message = config.message("slow_start_config", "SlowStartConfig");
  if (!message.present()) return;
  message.require("slow_start_window");
  message.duration("slow_start_window", slow.window);
  message.percent("min_weight_percent", slow.min_weight_percent);
}

void read_policy(const EnvoyMessage& cluster, PickSettings& pick) {
  pick.policy = PickPolicy::kRoundRobin;
  cluster.choice("lb_policy", pick.policy,
                 {{"ROUND_ROBIN", PickPolicy::kRoundRobin},
                  {"LEAST_REQUEST", PickPolicy::kLeastRequest},
                  {"RANDOM", PickPolicy::kRandom},
                  {"RING_HASH", PickPolicy::kRingHash},
                  {"MAGLEV", PickPolicy::kMaglev}});
  const EnvoyMessage least = cluster.message("least_request_lb_config", "LeastRequestLbConfig");
  least.number("choice_count", pick.choices, 2, kMaxChoices);
  read_slow_start(least, pick.slow_start);
  read_slow_start(cluster.message("round_robin_lb_config", "RoundRobinLbConfig"), pick.slow_start);
  const EnvoyMessage ring = cluster.message("ring_hash_lb_config", "RingHashLbConfig");
  pick.ring_max = kMaxRingSize;
  ring.number("minimum_ring_size", pick.ring_min, 1, kMaxRingSize);
  ring.number("maximum_ring_size", pick.ring_max, 1, kMaxRingSize);
  cluster.message("maglev_lb_config", "MaglevLbConfig").number("table_size", pick.maglev_size);
  const EnvoyMessage common = cluster.message("common_lb_config", "CommonLbConfig");
  double panic = 50;
  common.percent("healthy_panic_threshold", panic);
  pick.panic_percent = static_cast<uint32_t>(panic + 0.5);
}

void read_circuit_breakers(const EnvoyMessage& cluster, ClusterSettings& settings) {
  settings.circuit = {1024, 1024, 1024};
  settings.retry_budget = {0, 3};
  const EnvoyMessage breakers = cluster.message("circuit_breakers", "CircuitBreakers");
  for (const EnvoyMessage& limits : breakers.messages("thresholds", "Thresholds")) {
    bool first_priority = true;
    const YamlNode* priority =
        limits.choice("priority", first_priority, {{"DEFAULT", true}, {"HIGH", false}});
    if (priority != nullptr && !first_priority) {
      limits.warn(*priority, "priority", "not used: there are no routes of HIGH priority");
      continue;
    }
    limits.number("max_connections", settings.circuit.connections, 1);
    limits.number("max_pending_requests", settings.circuit.pending);
    limits.number("max_requests", settings.circuit.requests, 1);
    limits.number("max_retries", settings.retry_budget.min_concurrent);
    const EnvoyMessage budget = limits.message("retry_budget", "RetryBudget");
    if (!budget.present()) continue;
    double percent = 20;
    budget.percent("budget_percent", percent);
    settings.retry_budget = {static_cast<uint32_t>(percent + 0.5), 3};
    budget.number("min_retry_concurrency", settings.retry_budget.min_concurrent);
  }
}

}  // namespace

void read_envoy_cluster(const EnvoyMessage& message, EnvoyDraft& draft) {
  ClusterSettings& settings = draft.config.settings.clusters.emplace_back();
  ClusterCare& care = draft.config.care.emplace_back();
  if (message.require("name") != nullptr) read_envoy_name(message, "name", settings.name);
  settings.protocol = HttpVersion::kHttp1;
  settings.http2.malformed_ends_connection = true;
  read_http2(message.message("http2_protocol_options", "Http2ProtocolOptions"), settings);
  read_http_options(message, settings);
  settings.http1.stream_window = settings.http2.stream_window;
  if (settings.protocol == HttpVersion::kHttp1) settings.endpoint_connections = kHttp1Connections;
  settings.connect_timeout = std::chrono::seconds(5);
  const YamlNode* connect = message.duration("connect_timeout", settings.connect_timeout);
  if (connect != nullptr && settings.connect_timeout.count() == 0)
    message.refuse(*connect, "connect_timeout", "accepted: more than 0s");
  // Envoy has no time of its own for this: who waits for a connection waits for connect_timeout.
  settings.pending_timeout = settings.connect_timeout;
  read_policy(message, settings.pick);
  read_circuit_breakers(message, settings);
  read_envoy_client_tls(message, settings);
  read_envoy_health(message, settings, care);
  read_envoy_outlier(message, settings, care);
  if (care.outlier) care.outlier_event_log = draft.outlier_event_log;
  read_envoy_endpoints(message, settings, care);
  const auto weighted = [](const Endpoint& endpoint) { return endpoint.weight != 1; };
  const bool names_weighted =
      care.discovery && std::ranges::any_of(std::get<DnsDiscovery>(*care.discovery).names,
                                            [&](const DnsName& n) { return weighted(n.like); });
  if (settings.pick.policy == PickPolicy::kRoundRobin &&
      (names_weighted || std::ranges::any_of(settings.endpoints, weighted)))
    settings.pick.policy = PickPolicy::kWeightedRoundRobin;
  if (auto good = check_pick_settings(settings.pick); !good && message.present())
    message.report(*message.node(), {}, good.error().message);
}

}  // namespace sluice
