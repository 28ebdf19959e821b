// Whether a request is sent again after a try that went wrong. Only what nobody has begun to work on, or what
// does no harm when it is done twice, and never once the client has seen a part of an answer.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "lb/l7/grpc_status.h"
#include "lb/l7/route_policy.h"

namespace sluice {

enum class TryEnd : uint8_t {
  kConnectFailure,  ///< no connection came about: nothing was sent
  kRefusedStream,   ///< REFUSED_STREAM, or a GOAWAY with a lower stream (RFC 9113 sections 8.7, 6.8): not
                    ///< begun
  kReset,           ///< stream or connection broke, no answer yet
  kTryTimeout,      ///< per_try_timeout has passed, no answer yet
  kAnswer,  ///< an answer that may be held back: its header fields are there, nothing has gone to the client
  kAnswerBegun,  ///< a part of an answer has gone to the client
};

struct TryOutcome {
  TryEnd end = TryEnd::kAnswer;
  uint32_t status = 0;             ///< of kAnswer
  std::optional<GrpcStatus> grpc;  ///< of kAnswer: in its header fields, a trailers-only answer
  std::string_view method;
  bool body_kept = true;  ///< all that was sent of the request's body can be sent again
  uint32_t retries = 0;   ///< of this request so far
  /// Until the request's own deadline; nothing: none.
  std::optional<std::chrono::nanoseconds> time_left;
};

enum class RetryVerdict : uint8_t {
  kRetry,          ///< if the retry budget has room
  kNotAsked,       ///< no condition of the policy is met: the outcome goes to the client
  kAnswerBegun,    ///< too late
  kNoRetryLeft,    ///< max_retries
  kNoTimeLeft,     ///< the deadline would pass first
  kBodyGone,       ///< more was sent than is kept
  kNotIdempotent,  ///< it may have been worked on, and doing it twice is not the same as once
};
/// "not-idempotent"
std::string_view retry_verdict_name(RetryVerdict verdict);

/// Without a policy (nullptr) nothing is asked for. A gRPC status that the policy lists is retried whatever
/// the method, which is always POST: who lists it says that these calls may be repeated (as gRPC proposal A6
/// has it).
RetryVerdict decide_retry(const RetryPolicy* policy, const TryOutcome& outcome);

/// Whether a slow request may be sent a second time beside the first: it is wanted, and doing it twice is the
/// same as once, or any_method says so.
bool may_hedge(const RetryPolicy& policy, std::string_view method);

/// RFC 9110 section 9.2.2.
bool is_idempotent(std::string_view method);

}  // namespace sluice
