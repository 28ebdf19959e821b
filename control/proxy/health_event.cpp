#include "control/proxy/health_event.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace sluice::control {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::system_clock;

Json begin_event(std::string_view cluster, std::string_view endpoint, std::string_view checker,
                 std::string_view event, system_clock::time_point now) {
  const auto milliseconds =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
  return {{"time",
           fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(milliseconds / 1000), milliseconds % 1000)},
          {"cluster", cluster},
          {"endpoint", endpoint},
          {"checker", checker},
          {"event", event}};
}

std::string line_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// One decimal is as much as it means.
double rounded(double value) {
  return std::round(value * 10) / 10;
}

}  // namespace

std::string_view health_check_kind_name(HealthCheckKind kind) {
  switch (kind) {
    case HealthCheckKind::kNone:
      return "none";
    case HealthCheckKind::kTcp:
      return "tcp";
    case HealthCheckKind::kHttp:
      return "http";
    case HealthCheckKind::kHttps:
      return "https";
    case HealthCheckKind::kHttp2:
      return "http2";
    case HealthCheckKind::kGrpc:
      return "grpc";
    case HealthCheckKind::kUdp:
      return "udp";
    case HealthCheckKind::kIcmp:
      return "icmp";
    case HealthCheckKind::kExternal:
      return "external";
  }
  return "";
}

std::string_view check_failure_name(CheckResult::Failure failure) {
  switch (failure) {
    case CheckResult::Failure::kAnswer:
      return "active";
    case CheckResult::Failure::kNetwork:
      return "network";
    case CheckResult::Failure::kTimeout:
      return "timeout";
  }
  return "";
}

std::string_view outlier_change_name(OutlierChange change) {
  switch (change) {
    case OutlierChange::kEjected:
      return "ejected";
    case OutlierChange::kReadmitted:
      return "readmitted";
    case OutlierChange::kSpared:
      return "ejection_spared";
  }
  return "";
}

std::string health_event_line(const CheckedEvent& event, std::string_view cluster, bool every_failure,
                              system_clock::time_point now) {
  const bool good = event.result.verdict == CheckResult::Verdict::kGood;
  const bool fell = event.changed && !event.health.healthy;
  const bool rose = event.health.healthy && good && (event.changed || event.first);
  if (!fell && !rose && (good || (!event.first && !every_failure))) return "";
  Json json = begin_event(cluster, event.target.backend, health_check_kind_name(event.target.check.kind),
                          fell   ? "unhealthy"
                          : rose ? "healthy"
                                 : "check_failed",
                          now);
  json["health_port"] = event.target.port;
  json["first_check"] = event.first;
  if (!good) {
    json["failure"] = check_failure_name(event.result.failure);
    json["error"] = event.result.error;
  }
  return line_of(json);
}

std::string outlier_event_line(const OutlierEvent& event, std::string_view cluster,
                               system_clock::time_point now) {
  Json json = begin_event(cluster, event.id.to_string(), "outlier", outlier_change_name(event.change), now);
  json["reason"] = outlier_reason_name(event.ejection.reason);
  json["observed"] = rounded(event.ejection.observed);
  json["limit"] = rounded(event.ejection.limit);
  if (event.change == OutlierChange::kEjected) {
    json["for_ms"] =
        std::chrono::duration_cast<std::chrono::milliseconds>(event.ejection.until - event.ejection.since)
            .count();
  }
  return line_of(json);
}

}  // namespace sluice::control
