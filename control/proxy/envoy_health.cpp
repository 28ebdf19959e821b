#include "control/proxy/envoy_health.h"

#include <fmt/format.h>

#include <algorithm>

namespace sluice {
namespace {

void read_http(const EnvoyMessage& http, const l7::ClusterSettings& settings, HealthCheck& check) {
  bool http2 = false;
  http.choice("codec_client_type", http2, {{"HTTP1", false}, {"HTTP2", true}});
  if (http2 && settings.tls)
    http.report(*http.node(), "codec_client_type",
                "HTTP2 is not supported for checks over TLS; accepted: HTTP1");
  check.kind = http2          ? HealthCheckKind::kHttp2
               : settings.tls ? HealthCheckKind::kHttps
                              : HealthCheckKind::kHttp;
  check.verify_certificate = false;
  http.text("host", check.host);
  if (http.require("path") != nullptr) {
    const YamlNode* path = http.text("path", check.path);
    if (path != nullptr &&
        (!check.path.starts_with('/') || check.path.find_first_of(" \r\n") != std::string::npos))
      http.refuse(*path, "path", "accepted: a path that begins with a slash");
  }
  std::string method;
  http.choice<std::string>("method", method, {{"METHOD_UNSPECIFIED", "GET"}, {"GET", "GET"}});
  check.expected_status = {{200, 200}};
  if (http.find("expected_statuses") != nullptr) check.expected_status.clear();
  for (const EnvoyMessage& range : http.messages("expected_statuses", "Int64Range")) {
    uint16_t start = 0;
    uint16_t end = 0;
    const YamlNode* from = range.number("start", start, 100, 599);
    const YamlNode* behind = range.number("end", end, 101, 600);
    if (from == nullptr || behind == nullptr || end <= start) {
      range.report(*range.node(), {},
                   "accepted: start from 100 to 599, and end, which is not of the range, above it");
    } else {
      check.expected_status.push_back({start, static_cast<uint16_t>(end - 1)});
    }
  }
}

/// What the file event sink of a health check says.
void read_event_logger(const EnvoyMessage& health, ClusterCare& care) {
  for (const EnvoyMessage& logger : health.messages("event_logger", "TypedExtensionConfig")) {
    logger
        .typed("typed_config", "envoy.extensions.health_check.event_sinks.file.v3",
               "HealthCheckEventFileSink")
        .text("event_log_path", care.event_log);
  }
}

/// On or off: Envoy's share of cases in which a way to be ejected is enforced.
bool read_enforcing(const EnvoyMessage& outlier, std::string_view field, bool otherwise) {
  uint32_t share = otherwise ? 100 : 0;
  const YamlNode* found = outlier.number(field, share, 0, 100);
  if (found != nullptr && share != 0 && share != 100)
    outlier.refuse(*found, field, "accepted: 0 or 100; ejecting in a part of all cases is not supported");
  return share != 0;
}

}  // namespace

void read_envoy_health(const EnvoyMessage& cluster, const l7::ClusterSettings& settings, ClusterCare& care) {
  const auto checks = cluster.messages("health_checks", "HealthCheck");
  if (checks.empty()) return;
  for (size_t i = 1; i < checks.size(); ++i)
    checks[i].report(*checks[i].node(), {}, "found a second health check; accepted: one for each cluster");
  const EnvoyMessage& health = checks.front();
  HealthCheck& check = care.health;
  const std::string_view kind = health.one_of({"http_health_check", "tcp_health_check", "grpc_health_check"});
  const EnvoyMessage http = health.message("http_health_check", "HttpHealthCheck");
  const EnvoyMessage tcp = health.message("tcp_health_check", "TcpHealthCheck");
  const EnvoyMessage grpc = health.message("grpc_health_check", "GrpcHealthCheck");
  if (kind == "http_health_check") {
    read_http(http, settings, check);
  } else if (kind == "tcp_health_check") {
    check.kind = HealthCheckKind::kTcp;
  } else if (kind == "grpc_health_check") {
    check.kind = HealthCheckKind::kGrpc;
    grpc.text("service_name", check.grpc_service);
    grpc.text("authority", check.host);
    if (settings.tls) grpc.report(*grpc.node(), {}, "not supported over TLS; accepted: http_health_check");
  } else {
    health.report(*health.node(), {},
                  "found no check; accepted: http_health_check, tcp_health_check or grpc_health_check");
  }
  // Envoy has a name for TLS beside the one in the Host header; a check here has one for both.
  const bool by_tls_name = check.kind == HealthCheckKind::kHttps && !settings.tls->server_name.empty();
  if (check.host.empty()) check.host = by_tls_name ? settings.tls->server_name : settings.name;
  // An answer that is not the expected one does not wait for unhealthy_threshold.
  check.answer_decides = true;
  for (const std::string_view field : {"timeout", "interval", "unhealthy_threshold", "healthy_threshold"})
    health.require(field);
  const auto interval = [&](std::string_view field, std::chrono::milliseconds least,
                            std::chrono::milliseconds& into) {
    const YamlNode* found = health.duration(field, into);
    if (found != nullptr && into < least)
      health.refuse(*found, field, fmt::format("accepted: at least {}ms", least.count()));
  };
  interval("timeout", std::chrono::milliseconds(1), check.timeout);
  interval("interval", std::chrono::milliseconds(10), check.interval);
  check.fast_interval = check.interval;
  interval("unhealthy_edge_interval", std::chrono::milliseconds(10), check.fast_interval);
  health.number("unhealthy_threshold", check.fall, 1);
  health.number("healthy_threshold", check.rise, 1);
  health.text("event_log_path", care.event_log);
  read_event_logger(health, care);
  health.flag("always_log_health_check_failures", care.log_every_failure);
}

void read_envoy_outlier(const EnvoyMessage& cluster, l7::ClusterSettings& settings, ClusterCare& care) {
  settings.streaks = {0, 0, 0};
  const EnvoyMessage outlier = cluster.message("outlier_detection", "OutlierDetection");
  if (!outlier.present()) return;
  OutlierSettings& to = care.outlier.emplace();
  to.streaks = {5, 5, 5};
  outlier.number("consecutive_5xx", to.streaks.server_errors);
  outlier.number("consecutive_gateway_failure", to.streaks.gateway_errors);
  bool split = false;
  outlier.flag("split_external_local_origin_errors", split);
  outlier.number("consecutive_local_origin_failure", to.streaks.connect_failures);
  const bool local = read_enforcing(outlier, "enforcing_consecutive_local_origin_failure", true);
  if (!read_enforcing(outlier, "enforcing_consecutive_5xx", true)) to.streaks.server_errors = 0;
  if (!read_enforcing(outlier, "enforcing_consecutive_gateway_failure", false)) to.streaks.gateway_errors = 0;
  // Not split, a failure to connect counts as a 5xx.
  if (!split) {
    to.streaks.connect_failures = to.streaks.server_errors;
  } else if (!local) {
    to.streaks.connect_failures = 0;
  }
  to.success_rate = read_enforcing(outlier, "enforcing_success_rate", true);
  to.success_rate_min_gap = 0;
  outlier.number("success_rate_minimum_hosts", to.success_rate_endpoints);
  outlier.number("success_rate_request_volume", to.success_rate_requests);
  uint32_t factor = 1900;
  outlier.number("success_rate_stdev_factor", factor);
  to.success_rate_factor = factor / 1000.0;
  uint32_t percentage = 85;
  outlier.number("failure_percentage_threshold", percentage, 0, 100);
  to.failure_percentage = read_enforcing(outlier, "enforcing_failure_percentage", false) ? percentage : 0;
  outlier.number("failure_percentage_minimum_hosts", to.failure_percentage_endpoints);
  outlier.number("failure_percentage_request_volume", to.failure_percentage_requests);
  outlier.duration("interval", to.interval);
  outlier.duration("base_ejection_time", to.base_ejection);
  to.max_ejection = std::max<std::chrono::milliseconds>(std::chrono::minutes(5), to.base_ejection);
  outlier.duration("max_ejection_time", to.max_ejection);
  outlier.number("max_ejection_percent", to.max_ejection_percent, 0, 100);
  settings.streaks = to.streaks;
  if (auto good = check_outlier_settings(to); !good)
    outlier.report(*outlier.node(), {}, good.error().message);
}

}  // namespace sluice
