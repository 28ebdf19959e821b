#include "lb/l7/outlier_detector.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace sluice {

Result<void> check_outlier_settings(const OutlierSettings& s) {
  if (!(s.success_rate_factor >= 0)) {
    return fail(fmt::format("success_rate_factor: {} is not 0 or above", s.success_rate_factor));
  }
  if (!(s.success_rate_min_gap >= 0 && s.success_rate_min_gap <= 100)) {
    return fail(fmt::format("success_rate_min_gap: {} is not in 0..100", s.success_rate_min_gap));
  }
  if (s.failure_percentage > 100) {
    return fail(fmt::format("failure_percentage: {} is not in 0..100", s.failure_percentage));
  }
  if (s.interval.count() <= 0) return fail("interval: must be above 0");
  if (s.base_ejection.count() <= 0) return fail("base_ejection: must be above 0");
  if (s.max_ejection_percent > 100) {
    return fail(fmt::format("max_ejection_percent: {} is not in 0..100", s.max_ejection_percent));
  }
  return {};
}

std::string_view outlier_reason_name(OutlierReason reason) {
  switch (reason) {
    case OutlierReason::kServerErrors:
      return "consecutive-server-errors";
    case OutlierReason::kGatewayErrors:
      return "consecutive-gateway-errors";
    case OutlierReason::kConnectFailures:
      return "consecutive-connect-failures";
    case OutlierReason::kSuccessRate:
      return "success-rate";
    case OutlierReason::kFailurePercentage:
      return "failure-percentage";
  }
  return "?";
}

OutlierDetector::OutlierDetector(OutlierSettings settings, PickTime now)
    : settings_(settings), interval_end_(now + settings.interval) {}

void OutlierDetector::use(EndpointSet::Pointer set) {
  std::vector<Watched> next;
  ejected_ = 0;
  for (uint32_t i = 0; i < set->endpoints().size(); ++i) {
    const EndpointId& id = set->endpoints()[i].id;
    const Watched* known = find(id);
    // An endpoint that went and came back has new counters: it is another one.
    if (known != nullptr && known->state == set->state(i)) {
      next.push_back(*known);
    } else {
      Watched watched{{id}, set->state(i)};
      watched.before = watched.state->results.counts();
      next.push_back(std::move(watched));
    }
    if (next.back().view.ejection) ++ejected_;
  }
  endpoints_ = std::move(next);
}

std::vector<OutlierEvent> OutlierDetector::tick(PickTime now) {
  Events events;
  readmit_due(now, events);
  judge_streaks(now, events);
  if (now >= interval_end_) {
    interval_end_ = now + settings_.interval;
    close_interval();
    judge_success_rates(now, events);
    judge_failure_percentages(now, events);
  }
  return events;
}

PickTime OutlierDetector::next_tick() const {
  PickTime next = interval_end_;
  for (const Watched& e : endpoints_) {
    if (e.view.ejection) next = std::min(next, e.view.ejection->until);
  }
  return next;
}

void OutlierDetector::readmit_due(PickTime now, Events& events) {
  for (Watched& e : endpoints_) {
    if (e.view.ejection && now >= e.view.ejection->until) events.push_back(let_in(e));
  }
}

std::optional<OutlierEvent> OutlierDetector::readmit(const EndpointId& id, PickTime now) {
  for (Watched& e : endpoints_) {
    if (e.view.id != id || !e.view.ejection) continue;
    e.view.ejection->until = now;
    return let_in(e);
  }
  return std::nullopt;
}

OutlierEvent OutlierDetector::let_in(Watched& e) {
  const OutlierEvent event{e.view.id, OutlierChange::kReadmitted, *e.view.ejection};
  e.view.ejection.reset();
  --ejected_;
  e.state->results.end_rows();  // what was still under way when it was ejected does not count against it
  return event;
}

void OutlierDetector::judge_streaks(PickTime now, Events& events) {
  const StreakLimits& limits = settings_.streaks;
  for (Watched& e : endpoints_) {
    if (e.view.ejection) continue;
    const EndpointResults& results = e.state->results;
    const auto reached = [](uint32_t row, uint32_t limit) { return limit > 0 && row >= limit; };
    const uint32_t gateway = results.gateway_errors_in_a_row();
    const uint32_t server = results.server_errors_in_a_row();
    const uint32_t connect = results.connect_failures_in_a_row();
    // The narrower reason first: it says more.
    if (reached(connect, limits.connect_failures)) {
      eject(e, OutlierReason::kConnectFailures, connect, limits.connect_failures, now, events);
    } else if (reached(gateway, limits.gateway_errors)) {
      eject(e, OutlierReason::kGatewayErrors, gateway, limits.gateway_errors, now, events);
    } else if (reached(server, limits.server_errors)) {
      eject(e, OutlierReason::kServerErrors, server, limits.server_errors, now, events);
    }
  }
}

void OutlierDetector::close_interval() {
  for (Watched& e : endpoints_) {
    const ResultCounts now = e.state->results.counts();
    e.last.requests = now.requests - e.before.requests;
    // Read at slightly different moments: never more failures than requests.
    e.last.failures = std::min(now.failures - e.before.failures, e.last.requests);
    e.before = now;
    e.view.requests = e.last.requests;
    e.view.success_rate.reset();
    if (e.last.requests > 0) {
      e.view.success_rate =
          100.0 - 100.0 * static_cast<double>(e.last.failures) / static_cast<double>(e.last.requests);
    }
    // An interval in service makes up for one ejection.
    if (!e.view.ejection && e.view.multiplier > 0) --e.view.multiplier;
  }
}

void OutlierDetector::judge_success_rates(PickTime now, Events& events) {
  success_rate_limit_.reset();
  if (!settings_.success_rate) return;
  std::vector<Watched*> judged;
  double sum = 0;
  for (Watched& e : endpoints_) {
    if (e.view.ejection || e.last.requests == 0 || e.last.requests < settings_.success_rate_requests)
      continue;
    judged.push_back(&e);
    sum += *e.view.success_rate;
  }
  if (judged.empty() || judged.size() < settings_.success_rate_endpoints) return;
  const double count = static_cast<double>(judged.size());
  const double mean = sum / count;
  double squares = 0;
  for (const Watched* e : judged) squares += (*e->view.success_rate - mean) * (*e->view.success_rate - mean);
  const double deviation = std::sqrt(squares / count);
  const double limit =
      mean - std::max(settings_.success_rate_factor * deviation, settings_.success_rate_min_gap);
  success_rate_limit_ = limit;
  // The worst first: if not all can be ejected, these are.
  std::ranges::sort(judged, {}, [](const Watched* e) { return *e->view.success_rate; });
  for (Watched* e : judged) {
    if (*e->view.success_rate >= limit) break;
    eject(*e, OutlierReason::kSuccessRate, *e->view.success_rate, limit, now, events);
  }
}

void OutlierDetector::judge_failure_percentages(PickTime now, Events& events) {
  if (settings_.failure_percentage == 0) return;
  std::vector<Watched*> judged;
  uint32_t with_requests = 0;
  for (Watched& e : endpoints_) {
    if (e.last.requests == 0 || e.last.requests < settings_.failure_percentage_requests) continue;
    ++with_requests;
    if (!e.view.ejection) judged.push_back(&e);
  }
  if (with_requests < settings_.failure_percentage_endpoints) return;
  std::ranges::sort(judged, {}, [](const Watched* e) { return *e->view.success_rate; });
  for (Watched* e : judged) {
    // In integers: the percentage itself ejects.
    if (e->last.failures * 100 < e->last.requests * settings_.failure_percentage) break;
    eject(*e, OutlierReason::kFailurePercentage, 100.0 - *e->view.success_rate, settings_.failure_percentage,
          now, events);
  }
}

void OutlierDetector::eject(Watched& e, OutlierReason reason, double observed, double limit, PickTime now,
                            Events& events) {
  Ejection ejection{reason, now, now, observed, limit};
  e.state->results.end_rows();
  // As long as fewer than the part that may be out are: so one may, however few there are, unless the part is
  // 0.
  if (uint64_t{ejected_} * 100 >= uint64_t{endpoints_.size()} * settings_.max_ejection_percent) {
    events.push_back({e.view.id, OutlierChange::kSpared, ejection});
    return;
  }
  ++e.view.multiplier;
  ++e.view.ejections;
  ++ejected_;
  const auto longest = std::max(settings_.base_ejection, settings_.max_ejection);
  ejection.until = now + std::min(settings_.base_ejection * e.view.multiplier, longest);
  e.view.ejection = ejection;
  events.push_back({e.view.id, OutlierChange::kEjected, ejection});
}

bool OutlierDetector::is_ejected(const EndpointId& id) const {
  const Watched* endpoint = find(id);
  return endpoint != nullptr && endpoint->view.ejection.has_value();
}

const OutlierDetector::Watched* OutlierDetector::find(const EndpointId& id) const {
  const auto at = std::ranges::lower_bound(endpoints_, id, {}, [](const Watched& e) { return e.view.id; });
  return at != endpoints_.end() && at->view.id == id ? &*at : nullptr;
}

std::vector<OutlierView> OutlierDetector::view() const {
  std::vector<OutlierView> views;
  for (const Watched& e : endpoints_) views.push_back(e.view);
  return views;
}

}  // namespace sluice
