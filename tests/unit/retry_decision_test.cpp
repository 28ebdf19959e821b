#include "lb/l7/retry_decision.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sluice {
namespace {

using std::chrono::milliseconds;
constexpr uint32_t kAll = 0xff;

RetryPolicy on(uint32_t conditions) {
  RetryPolicy policy;
  policy.on = conditions;
  policy.statuses = {409};
  policy.grpc_statuses = 1u << 14 | 1u << 4;
  return policy;
}

TEST(RetryDecision, AsksTheConditions) {
  struct Case {
    std::string what;
    uint32_t on;
    TryOutcome outcome;
    RetryVerdict verdict;
  };
  constexpr auto kYes = RetryVerdict::kRetry;
  constexpr auto kNo = RetryVerdict::kNotAsked;
  const std::vector<Case> cases = {
      {"connect failure", kRetryConnectFailure, {.end = TryEnd::kConnectFailure, .method = "POST"}, kYes},
      {"connect failure, not asked",
       kAll & ~kRetryConnectFailure,
       {.end = TryEnd::kConnectFailure, .method = "GET"},
       kNo},
      {"refused stream", kRetryRefusedStream, {.end = TryEnd::kRefusedStream, .method = "POST"}, kYes},
      {"refused stream, not asked",
       kAll & ~kRetryRefusedStream,
       {.end = TryEnd::kRefusedStream, .method = "GET"},
       kNo},
      {"reset", kRetryReset, {.end = TryEnd::kReset, .method = "GET"}, kYes},
      {"reset of a POST",
       kRetryReset,
       {.end = TryEnd::kReset, .method = "POST"},
       RetryVerdict::kNotIdempotent},
      {"reset, not asked", kAll & ~kRetryReset, {.end = TryEnd::kReset, .method = "GET"}, kNo},
      {"try time-out", kRetryTryTimeout, {.end = TryEnd::kTryTimeout, .method = "GET"}, kYes},
      {"try time-out of a PATCH",
       kRetryTryTimeout,
       {.end = TryEnd::kTryTimeout, .method = "PATCH"},
       RetryVerdict::kNotIdempotent},
      {"200", kAll, {.status = 200, .method = "GET"}, kNo},
      {"404", kAll, {.status = 404, .method = "GET"}, kNo},
      {"500", kRetryServerError, {.status = 500, .method = "GET"}, kYes},
      {"500 is no gateway error", kRetryGatewayError, {.status = 500, .method = "GET"}, kNo},
      {"503", kRetryGatewayError, {.status = 503, .method = "PUT"}, kYes},
      {"505 is no gateway error", kRetryGatewayError, {.status = 505, .method = "PUT"}, kNo},
      {"503 is a server error too", kRetryServerError, {.status = 503, .method = "DELETE"}, kYes},
      {"listed status", kRetryStatuses, {.status = 409, .method = "GET"}, kYes},
      {"listed status of a POST",
       kRetryStatuses,
       {.status = 409, .method = "POST"},
       RetryVerdict::kNotIdempotent},
      {"status not listed", kRetryStatuses, {.status = 410, .method = "GET"}, kNo},
      {"gRPC status",
       kRetryGrpcStatuses,
       {.status = 200, .grpc = GrpcStatus::kUnavailable, .method = "POST"},
       kYes},
      {"gRPC status not listed",
       kRetryGrpcStatuses,
       {.status = 200, .grpc = GrpcStatus::kInternal, .method = "POST"},
       kNo},
      {"gRPC status, not asked",
       kAll & ~kRetryGrpcStatuses,
       {.status = 200, .grpc = GrpcStatus::kUnavailable, .method = "POST"},
       kNo},
      {"the client has seen something",
       kAll,
       {.end = TryEnd::kAnswerBegun, .status = 503, .method = "GET"},
       RetryVerdict::kAnswerBegun},
      {"body gone",
       kAll,
       {.end = TryEnd::kConnectFailure, .method = "POST", .body_kept = false},
       RetryVerdict::kBodyGone},
      {"retries used",
       kAll,
       {.end = TryEnd::kReset, .method = "GET", .retries = 1},
       RetryVerdict::kNoRetryLeft},
      {"time used",
       kAll,
       {.end = TryEnd::kReset, .method = "GET", .time_left = milliseconds(0)},
       RetryVerdict::kNoTimeLeft},
      {"time left", kAll, {.end = TryEnd::kReset, .method = "GET", .time_left = milliseconds(1)}, kYes},
  };
  for (const Case& c : cases) {
    const RetryPolicy policy = on(c.on);
    EXPECT_EQ(retry_verdict_name(decide_retry(&policy, c.outcome)), retry_verdict_name(c.verdict)) << c.what;
  }
}

TEST(RetryDecision, TheOperatorMayKnowBetter) {
  RetryPolicy policy = on(kRetryReset);
  policy.any_method = true;
  policy.max_retries = 3;
  const TryOutcome reset{.end = TryEnd::kReset, .method = "POST", .retries = 2};
  EXPECT_EQ(decide_retry(&policy, reset), RetryVerdict::kRetry);
  EXPECT_EQ(decide_retry(nullptr, reset), RetryVerdict::kNotAsked);
}

TEST(RetryDecision, KnowsIdempotentMethods) {
  for (const char* method : {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
    EXPECT_TRUE(is_idempotent(method));
  for (const char* method : {"POST", "PATCH", "CONNECT", "get", ""})
    EXPECT_FALSE(is_idempotent(method)) << method;
}

// Errors that no endpoint has begun to work on are always safe: with the default policy a killed endpoint
// costs nobody anything, whatever the method.
TEST(RetryDecision, TheDefaultIsSafe) {
  const RetryPolicy policy;
  for (const char* method : {"GET", "POST"}) {
    EXPECT_EQ(decide_retry(&policy, {.end = TryEnd::kConnectFailure, .method = method}),
              RetryVerdict::kRetry);
    EXPECT_EQ(decide_retry(&policy, {.end = TryEnd::kRefusedStream, .method = method}), RetryVerdict::kRetry);
    EXPECT_EQ(decide_retry(&policy, {.end = TryEnd::kReset, .method = method}), RetryVerdict::kNotAsked);
    EXPECT_EQ(decide_retry(&policy, {.status = 503, .method = method}), RetryVerdict::kNotAsked);
  }
}

TEST(Hedging, IsForWhatMayBeDoneTwice) {
  RetryPolicy policy;
  EXPECT_FALSE(may_hedge(policy, "GET")) << "off unless asked for";
  policy.hedge_after = std::chrono::milliseconds(50);
  EXPECT_TRUE(may_hedge(policy, "GET"));
  EXPECT_FALSE(may_hedge(policy, "POST"));
  policy.any_method = true;
  EXPECT_TRUE(may_hedge(policy, "POST"));
}

}  // namespace
}  // namespace sluice
