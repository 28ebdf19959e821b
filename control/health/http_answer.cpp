#include "control/health/http_answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace sluice::control {

namespace {

bool is_one_of(unsigned status, const std::vector<StatusRange>& ranges) {
  return std::any_of(ranges.begin(), ranges.end(), [status](const StatusRange& range) {
    return range.first <= status && status <= range.last;
  });
}

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
  if (is_one_of(status, check.leaving_status)) {
    CheckResult result = CheckResult::bad(fmt::format("HTTP status {}: it leaves", status));
    result.leaving = true;
    return result;
  }
  if (is_one_of(status, check.expected_status)) return CheckResult::good();
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
