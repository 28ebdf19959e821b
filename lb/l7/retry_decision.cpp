#include "lb/l7/retry_decision.h"

#include <algorithm>
#include <array>

namespace sluice {
namespace {

bool is_gateway_error(uint32_t status) {
  return status >= 502 && status <= 504;
}

bool lists(const RetryPolicy& policy, GrpcStatus status) {
  return (policy.on & kRetryGrpcStatuses) != 0 &&
         (policy.grpc_statuses >> static_cast<uint32_t>(status) & 1) != 0;
}

// The conditions that an outcome meets, whether or not the policy has them.
uint32_t conditions_met(const RetryPolicy& policy, const TryOutcome& outcome) {
  switch (outcome.end) {
    case TryEnd::kConnectFailure:
      return kRetryConnectFailure;
    case TryEnd::kRefusedStream:
      return kRetryRefusedStream;
    case TryEnd::kReset:
      return kRetryReset;
    case TryEnd::kTryTimeout:
      return kRetryTryTimeout;
    case TryEnd::kAnswerBegun:
      return 0;
    case TryEnd::kAnswer:
      break;
  }
  uint32_t met = 0;
  if (outcome.status >= 500) met |= kRetryServerError;
  if (is_gateway_error(outcome.status)) met |= kRetryGatewayError;
  if (std::ranges::find(policy.statuses, outcome.status) != policy.statuses.end()) met |= kRetryStatuses;
  if (outcome.grpc && lists(policy, *outcome.grpc)) met |= kRetryGrpcStatuses;
  return met;
}

}  // namespace

bool is_idempotent(std::string_view method) {
  constexpr std::array<std::string_view, 6> kMethods = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"};
  return std::ranges::find(kMethods, method) != kMethods.end();
}

bool may_hedge(const RetryPolicy& policy, std::string_view method) {
  return policy.hedge_after.count() > 0 && (policy.any_method || is_idempotent(method));
}

RetryVerdict decide_retry(const RetryPolicy* policy, const TryOutcome& outcome) {
  if (outcome.end == TryEnd::kAnswerBegun) return RetryVerdict::kAnswerBegun;
  if (policy == nullptr) return RetryVerdict::kNotAsked;
  const uint32_t met = conditions_met(*policy, outcome) & policy->on;
  if (met == 0) return RetryVerdict::kNotAsked;
  const bool untouched = outcome.end == TryEnd::kConnectFailure || outcome.end == TryEnd::kRefusedStream;
  const bool allowed =
      untouched || policy->any_method || (met & kRetryGrpcStatuses) != 0 || is_idempotent(outcome.method);
  if (!allowed) return RetryVerdict::kNotIdempotent;
  if (!outcome.body_kept) return RetryVerdict::kBodyGone;
  if (outcome.retries >= policy->max_retries) return RetryVerdict::kNoRetryLeft;
  if (outcome.time_left && outcome.time_left->count() <= 0) return RetryVerdict::kNoTimeLeft;
  return RetryVerdict::kRetry;
}

std::string_view retry_verdict_name(RetryVerdict verdict) {
  switch (verdict) {
    case RetryVerdict::kRetry:
      return "retry";
    case RetryVerdict::kNotAsked:
      return "not-asked";
    case RetryVerdict::kAnswerBegun:
      return "answer-begun";
    case RetryVerdict::kNoRetryLeft:
      return "no-retry-left";
    case RetryVerdict::kNoTimeLeft:
      return "no-time-left";
    case RetryVerdict::kBodyGone:
      return "body-gone";
    case RetryVerdict::kNotIdempotent:
      return "not-idempotent";
  }
  return "?";
}

}  // namespace sluice
