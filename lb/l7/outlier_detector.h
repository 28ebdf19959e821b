// Finds the endpoints of a cluster that answer worse than they should or than the others, and takes them out
// for a while. Runs on the control thread on what the workers counted; it says what happens, somebody else
// builds the next EndpointSet from it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "lb/l7/endpoint.h"
#include "lb/l7/endpoint_set.h"
#include "lb/result.h"

namespace sluice {

struct OutlierSettings {
  StreakLimits streaks;

  /// Success rate: an endpoint below mean - factor * standard deviation of the rates of all endpoints is
  /// ejected.
  bool success_rate = true;
  double success_rate_factor = 1.9;
  /// And at least so many percentage points below the mean: among endpoints that are all well, a handful of
  /// errors always puts somebody below two deviations. 0: the deviation alone decides.
  double success_rate_min_gap = 5.0;
  uint32_t success_rate_endpoints = 5;   ///< at least so many with enough requests, or nobody is judged
  uint32_t success_rate_requests = 100;  ///< enough requests, in one interval

  /// Failure percentage: an endpoint of whose requests so many percent fail is ejected, whatever the others
  /// do.
  uint32_t failure_percentage = 0;  ///< 1..100; 0: off
  uint32_t failure_percentage_endpoints = 5;
  uint32_t failure_percentage_requests = 50;

  std::chrono::milliseconds interval{10'000};  ///< how long requests are counted before rates are judged
  std::chrono::milliseconds base_ejection{
      30'000};  ///< of the first ejection; the n-th in a row is n times as long
  std::chrono::milliseconds max_ejection{300'000};  ///< but not longer than this (or than base_ejection)
  uint32_t max_ejection_percent = 10;  ///< 0..100: nobody is ejected while so many percent of all are
  friend bool operator==(const OutlierSettings&, const OutlierSettings&) = default;
};

/// The error names the setting, what was found and what is accepted.
Result<void> check_outlier_settings(const OutlierSettings& settings);

enum class OutlierReason : uint8_t {
  kServerErrors,
  kGatewayErrors,
  kConnectFailures,
  kSuccessRate,
  kFailurePercentage,
};
/// "consecutive-server-errors"
std::string_view outlier_reason_name(OutlierReason reason);

struct Ejection {
  OutlierReason reason = OutlierReason::kServerErrors;
  PickTime since;
  PickTime until;
  double observed = 0;  ///< errors in a row, or percent
  double limit = 0;     ///< what it was measured against
};

/// All that is known of one endpoint, for people to see.
struct OutlierView {
  EndpointId id;
  std::optional<Ejection> ejection;  ///< while it is out
  uint32_t multiplier = 0;  ///< how many times base_ejection its latest ejection was; falls back in time
  uint64_t ejections = 0;   ///< since the endpoint is known
  uint64_t requests = 0;    ///< ended in the last whole interval
  std::optional<double> success_rate;  ///< percent, in the last whole interval; nothing without requests
};

enum class OutlierChange : uint8_t {
  kEjected,
  kReadmitted,
  kSpared,  ///< would have been ejected, but max_ejection_percent are out already
};

struct OutlierEvent {
  EndpointId id;
  OutlierChange change = OutlierChange::kEjected;
  Ejection ejection;  ///< the one that begins, ends or was spared
};

class OutlierDetector {
 public:
  /// Settings that check_outlier_settings() accepts. The first interval begins now.
  OutlierDetector(OutlierSettings settings, PickTime now);

  /// Watches the endpoints of `set` from now on; what is known of those that stay is kept. Their `ejected`
  /// flags are not looked at: they follow from what this says.
  void use(EndpointSet::Pointer set);

  /// Does what is due: readmits, ejects for errors in a row, and at the end of an interval judges rates. Call
  /// it when EndpointResults::record() says so and at next_tick(). Whoever is in an event of kEjected or
  /// kReadmitted has changed; events of one endpoint are in the order in which they happened.
  std::vector<OutlierEvent> tick(PickTime now);
  /// When something is due even if no worker says so.
  PickTime next_tick() const;

  /// Lets an endpoint in again before its time: the operator's word. Nothing if it is not out.
  std::optional<OutlierEvent> readmit(const EndpointId& id, PickTime now);

  bool is_ejected(const EndpointId& id) const;
  /// In the order of identities.
  std::vector<OutlierView> view() const;
  uint32_t ejected_count() const { return ejected_; }
  const OutlierSettings& settings() const { return settings_; }
  /// What success rates were measured against at the last interval, percent; nothing if nobody was judged.
  std::optional<double> success_rate_limit() const { return success_rate_limit_; }

 private:
  struct Watched {
    OutlierView view;
    std::shared_ptr<EndpointState> state;
    ResultCounts before;  // at the beginning of the interval
    ResultCounts last;    // of the last whole interval
  };
  using Events = std::vector<OutlierEvent>;

  void readmit_due(PickTime now, Events& events);
  void judge_streaks(PickTime now, Events& events);
  void close_interval();
  void judge_success_rates(PickTime now, Events& events);
  void judge_failure_percentages(PickTime now, Events& events);
  void eject(Watched& endpoint, OutlierReason reason, double observed, double limit, PickTime now,
             Events& events);
  OutlierEvent let_in(Watched& endpoint);
  const Watched* find(const EndpointId& id) const;

  OutlierSettings settings_;
  std::vector<Watched> endpoints_;  // in the order of identities
  uint32_t ejected_ = 0;
  PickTime interval_end_;
  std::optional<double> success_rate_limit_;
};

}  // namespace sluice
