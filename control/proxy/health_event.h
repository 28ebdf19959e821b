// What the health event log says: one line of JSON for each event. Pure.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "control/health/health_checks.h"
#include "lb/l7/outlier_detector.h"

namespace sluice::control {

/// "http"; as in the configuration.
std::string_view health_check_kind_name(HealthCheckKind kind);

/// "active", "network" or "timeout".
std::string_view check_failure_name(CheckResult::Failure failure);

/// "ejected", "readmitted", "ejection_spared"
std::string_view outlier_change_name(OutlierChange change);

/// What is said of a check that has ended; "" if nothing is: it only shows what was known, and
/// `every_failure` is not asked for, or it is good.
std::string health_event_line(const CheckedEvent& event, std::string_view cluster, bool every_failure,
                              std::chrono::system_clock::time_point now);

/// What is said of an ejection or its end.
std::string outlier_event_line(const OutlierEvent& event, std::string_view cluster,
                               std::chrono::system_clock::time_point now);

}  // namespace sluice::control
