#include "control/health/http_answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace sluice::control {

namespace {

std::string ranges(const std::vector<StatusRange>& expected) {
  std::string text;
  for (const StatusRange& range : expected) {
    if (!text.empty()) text += ", ";
    text += range.first == range.last ? fmt::format("{}", range.first)
                                      : fmt::format("{}-{}", range.first, range.last);
  }
  return text;
}

}  // namespace

CheckResult judge_http_status(const HealthCheck& check, unsigned status) {
  const bool expected = std::any_of(
      check.expected_status.begin(), check.expected_status.end(),
      [status](const StatusRange& range) { return range.first <= status && status <= range.last; });
  if (expected) return CheckResult::good();
  return CheckResult::bad(fmt::format("HTTP status {}, expected {}", status, ranges(check.expected_status)));
}

CheckResult judge_http(const HealthCheck& check, unsigned status, std::string_view body) {
  if (CheckResult result = judge_http_status(check, status); result.verdict != CheckResult::Verdict::kGood) {
    return result;
  }
  if (body.find(check.expected_body) != std::string_view::npos) return CheckResult::good();
  if (body.empty()) {
    return CheckResult::bad(fmt::format("body is empty, expected '{}'", printable(check.expected_body, 60)));
  }
  return CheckResult::bad(fmt::format("body does not contain '{}', it begins with '{}'",
                                      printable(check.expected_body, 60), printable(body, 60)));
}

CheckResult http_body_too_long() {
  return CheckResult::bad(fmt::format("body is longer than {} bytes", kMaxHttpBody));
}

}  // namespace sluice::control
