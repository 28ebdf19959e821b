#include "control/proxy/endpoint_report.h"

#include <fmt/format.h>

#include "control/duration_words.h"

namespace sluice::control {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::duration_cast;
using std::chrono::seconds;

int64_t epoch_seconds(std::chrono::system_clock::time_point time) {
  return duration_cast<seconds>(time.time_since_epoch()).count();
}

std::string ejection_words(const Ejection& ejection) {
  const bool streak = ejection.reason == OutlierReason::kServerErrors ||
                      ejection.reason == OutlierReason::kGatewayErrors ||
                      ejection.reason == OutlierReason::kConnectFailures;
  return streak ? fmt::format("{} ({:.0f})", outlier_reason_name(ejection.reason), ejection.observed)
                : fmt::format("{} ({:.1f} %, limit {:.1f} %)", outlier_reason_name(ejection.reason),
                              ejection.observed, ejection.limit);
}

Json health_json(const BackendHealth& health) {
  return {{"healthy", health.healthy},
          {"settled", health.settled},
          {"held", health.held},
          {"since", epoch_seconds(health.since)},
          {"last_check", epoch_seconds(health.last_check)},
          {"last_error", health.last_error},
          {"latency_us", health.latency.count()},
          {"checks", health.checks},
          {"failures", health.failures}};
}

/// Open, or being made, of all workers. What has ended is read first, so that the difference is not below 0.
uint64_t connections_of(const EndpointState& state) {
  const uint64_t over =
      state.traffic->sum([](const EndpointCounters& c) { return c.connections_over.read(); });
  return state.traffic->sum([](const EndpointCounters& c) { return c.connections_made.read(); }) - over;
}

}  // namespace

EndpointFacts::EndpointFacts(const ProxyControl& control, size_t cluster)
    : control_(control), cluster_(cluster) {
  const auto* detector = control.detector_of(control.config().settings.clusters[cluster].name);
  if (detector == nullptr) return;
  for (OutlierView& view : detector->view()) {
    const EndpointId id = view.id;
    outliers_.emplace(id, std::move(view));
  }
}

const OutlierView* EndpointFacts::outlier_of(const EndpointId& id) const {
  const auto found = outliers_.find(id);
  return found == outliers_.end() ? nullptr : &found->second;
}

Json EndpointFacts::json(const EndpointSet& set, uint32_t endpoint, const EndpointStanding& standing) const {
  const Endpoint& e = set.endpoints()[endpoint];
  const EndpointState& state = *set.state(endpoint);
  const ResultCounts counts = state.results.counts();
  Json json{{"endpoint", e.id.to_string()},
            {"standing", standing_name(standing.standing)},
            {"candidate", is_candidate(standing.standing)},
            {"reason", reason(set, endpoint, standing.standing)},
            {"share", standing.share},
            {"weight", e.weight},
            {"zone", e.zone},
            {"priority", e.priority},
            {"healthy", e.healthy},
            {"ejected", e.ejected},
            {"draining", e.draining},
            {"active_requests", state.active_requests()},
            {"connections", connections_of(state)},
            {"requests", counts.requests},
            {"failures", counts.failures}};
  if (const BackendHealth* health = control_.health_of(cluster_, e.id)) json["health"] = health_json(*health);
  if (const OutlierView* outlier = outlier_of(e.id)) {
    json["ejections"] = outlier->ejections;
    if (outlier->ejection) {
      const Ejection& out = *outlier->ejection;
      json["ejection"] = {
          {"reason", outlier_reason_name(out.reason)},
          {"observed", out.observed},
          {"limit", out.limit},
          {"since",
           epoch_seconds(now_ - duration_cast<std::chrono::system_clock::duration>(steady_now_ - out.since))},
          {"until", epoch_seconds(
                        now_ + duration_cast<std::chrono::system_clock::duration>(out.until - steady_now_))}};
    }
  }
  return json;
}

std::string EndpointFacts::why_unhealthy(const EndpointId& id) const {
  const BackendHealth* health = control_.health_of(cluster_, id);
  if (health == nullptr) return "its checks say so";
  const std::string since = duration_words(duration_cast<seconds>(now_ - health->since).count());
  if (health->held) return fmt::format("unhealthy for {}: checked good, held back because it flaps", since);
  if (health->last_error.empty())
    return fmt::format("unhealthy for {}; the last check was good, more are wanted", since);
  return fmt::format("unhealthy for {}: {}", since, health->last_error);
}

std::string EndpointFacts::why_ejected(const EndpointId& id) const {
  const OutlierView* outlier = outlier_of(id);
  if (outlier == nullptr || !outlier->ejection) return "ejected for bad answers";
  return fmt::format("ejected for {} more: {}",
                     duration_words(duration_cast<seconds>(outlier->ejection->until - steady_now_).count()),
                     ejection_words(*outlier->ejection));
}

std::string EndpointFacts::reason(const EndpointSet& set, uint32_t endpoint, Standing standing) const {
  const EndpointId& id = set.endpoints()[endpoint].id;
  switch (standing) {
    case Standing::kServes:
      return control_.health_of(cluster_, id) == nullptr ? "not checked" : "";
    case Standing::kReserve:
      return "others are preferred, by priority or zone";
    case Standing::kUnused:
      return "its weight is 0";
    case Standing::kDraining:
      return "drained by the operator";
    case Standing::kUnhealthy:
      return why_unhealthy(id);
    case Standing::kEjected:
      return why_ejected(id);
    case Standing::kPanic:
      return "used all the same, as too few others are available: " +
             (set.endpoints()[endpoint].healthy ? why_ejected(id) : why_unhealthy(id));
  }
  return "";
}

}  // namespace sluice::control
