// Whether an HTTP answer is a good one, whatever version of HTTP brought it. Pure.
#pragma once

#include <string_view>

#include "control/health/check_result.h"
#include "lb/health_check.h"

namespace sluice::control {

/// More of a body is not read. An answer with a longer one is bad if a body is expected, since what is looked
/// for may stand behind.
inline constexpr size_t kMaxHttpBody = 1 << 20;

/// Good if the status is expected, and no leaving one.
CheckResult judge_http_status(const HealthCheck& check, unsigned status);
/// Good if status and body are expected.
CheckResult judge_http(const HealthCheck& check, unsigned status, std::string_view body);
/// What is said of a body longer than kMaxHttpBody.
CheckResult http_body_too_long();

}  // namespace sluice::control
