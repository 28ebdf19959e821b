#include "control/proxy/proxy_clusters.h"

#include "control/config_duration.h"
#include "control/config_health.h"
#include "control/config_text.h"
#include "control/proxy/endpoint_file.h"
#include "control/proxy/proxy_discovery.h"
#include "control/proxy/proxy_tls.h"

namespace sluice {
namespace {

using l7::ClusterSettings;
using l7::HttpVersion;

constexpr uint32_t kHttp1Connections = 1024;

Result<std::string> absolute_path(const std::string& text) {
  return text.starts_with('/') ? Result<std::string>(text) : fail("");
}

void read_pick(const ConfigSection& section, PickSettings& pick) {
  section.choice("policy", pick.policy,
                 {{"round_robin", PickPolicy::kRoundRobin},
                  {"weighted_round_robin", PickPolicy::kWeightedRoundRobin},
                  {"least_request", PickPolicy::kLeastRequest},
                  {"peak_ewma", PickPolicy::kPeakEwma},
                  {"random", PickPolicy::kRandom},
                  {"ring_hash", PickPolicy::kRingHash},
                  {"maglev", PickPolicy::kMaglev}});
  section.number("choices", pick.choices);
  section.number("panic_percent", pick.panic_percent);
  read_milliseconds(section, "slow_start", pick.slow_start.window);
}

void read_cluster_health(const ConfigSection& section, ClusterCare& care) {
  read_health(section, care.health);
  section.value("event_log", care.event_log, absolute_path);
  const YamlNode* every = section.flag("log_every_failure", care.log_every_failure);
  if (every != nullptr && care.log_every_failure && care.event_log.empty())
    section.report(*every, "log_every_failure", "found without event_log; accepted: beside it");
}

void read_outlier(const ConfigSection& section, ClusterSettings& cluster, ClusterCare& care) {
  if (section.node() == nullptr) return;
  OutlierSettings& outlier = care.outlier.emplace();
  section.number("server_errors", outlier.streaks.server_errors);
  section.number("gateway_errors", outlier.streaks.gateway_errors);
  section.number("connect_failures", outlier.streaks.connect_failures);
  section.flag("success_rate", outlier.success_rate);
  uint32_t thousandths = static_cast<uint32_t>(outlier.success_rate_factor * 1000);
  uint32_t min_gap = static_cast<uint32_t>(outlier.success_rate_min_gap);
  if (section.number("success_rate_factor", thousandths)) outlier.success_rate_factor = thousandths / 1000.0;
  if (section.number("success_rate_min_gap", min_gap)) outlier.success_rate_min_gap = min_gap;
  section.number("success_rate_endpoints", outlier.success_rate_endpoints);
  section.number("success_rate_requests", outlier.success_rate_requests);
  section.number("failure_percentage", outlier.failure_percentage);
  section.number("failure_percentage_endpoints", outlier.failure_percentage_endpoints);
  section.number("failure_percentage_requests", outlier.failure_percentage_requests);
  read_milliseconds(section, "interval", outlier.interval);
  read_milliseconds(section, "base_ejection", outlier.base_ejection);
  read_milliseconds(section, "max_ejection", outlier.max_ejection);
  section.number("max_ejection_percent", outlier.max_ejection_percent);
  section.value("event_log", care.outlier_event_log, absolute_path);
  cluster.streaks = outlier.streaks;
  if (auto good = check_outlier_settings(outlier); !good)
    section.report(*section.node(), {}, good.error().message);
}

}  // namespace

void read_cluster(const ConfigSection& section, ProxyDraft& draft) {
  ClusterSettings& cluster = draft.config.settings.clusters.emplace_back();
  ClusterCare& care = draft.config.care.emplace_back();
  const YamlNode* name = section.value("name", cluster.name, parse_name);
  section.choice("protocol", cluster.protocol,
                 {{"http2", HttpVersion::kHttp2}, {"http1", HttpVersion::kHttp1}});
  read_pick(section, cluster.pick);
  cluster.pick.zones.local_zone = draft.zone;
  read_milliseconds(section, "connect_timeout", cluster.connect_timeout);
  read_milliseconds(section, "tcp_timeout", cluster.tcp_timeout);
  read_milliseconds(section, "ping_interval", cluster.ping_interval);
  if (cluster.ping_interval.count() != 0 && cluster.protocol == HttpVersion::kHttp1) {
    section.report(*section.find("ping_interval"), "ping_interval",
                   "HTTP/1.1 has no PING: leave it out; tcp_timeout finds a host that has gone");
  }
  read_milliseconds(section, "ping_timeout", cluster.ping_timeout);
  section.number("preconnect", cluster.preconnect);
  read_milliseconds(section, "pending_timeout", cluster.pending_timeout);
  if (cluster.protocol == HttpVersion::kHttp1) cluster.endpoint_connections = kHttp1Connections;
  section.number("endpoint_connections", cluster.endpoint_connections);
  section.number("max_connections", cluster.circuit.connections);
  section.number("max_requests", cluster.circuit.requests);
  cluster.circuit.pending = cluster.circuit.requests;
  section.number("max_pending", cluster.circuit.pending);
  section.number("retry_percent", cluster.retry_budget.percent);
  section.number("retry_min", cluster.retry_budget.min_concurrent);
  section.number("stream_window", cluster.http2.stream_window);
  section.choice("malformed_message", cluster.http2.malformed_ends_connection,
                 {{"stream", false}, {"connection", true}});
  cluster.http1.stream_window = cluster.http2.stream_window;
  read_client_tls(section.section("tls"), cluster);
  read_cluster_health(section.section("health"), care);
  cluster.streaks = {0, 0, 0};
  read_outlier(section.section("outlier"), cluster, care);
  ClusterEndpoints listed = read_endpoints(section, care.health.port);
  cluster.endpoints = std::move(listed.endpoints);
  care.check_ports = std::move(listed.check_ports);
  read_discovery(section, care);
  if (auto good = check_pick_settings(cluster.pick); !good && section.node() != nullptr) {
    section.report(*section.node(), {}, good.error().message);
  }
  draft.clusters.push_back({section, name});
}

}  // namespace sluice
