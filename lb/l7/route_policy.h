// What applies to the requests of a route on their way: times, retries, limits. Settings only.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lb/l7/retry_backoff.h"
#include "lb/l7/token_bucket.h"
#include "lb/l7/trace_context.h"

namespace sluice {

/// When a request is sent again. The first two are of requests that no endpoint has begun to work on.
enum RetryOn : uint32_t {
  kRetryConnectFailure = 1u << 0,  ///< no connection came about
  kRetryRefusedStream = 1u << 1,   ///< REFUSED_STREAM, or a GOAWAY that leaves the stream out
  kRetryReset = 1u << 2,           ///< the stream or connection broke before an answer
  kRetryServerError = 1u << 3,     ///< any 5xx
  kRetryGatewayError = 1u << 4,    ///< 502, 503, 504
  kRetryTryTimeout = 1u << 5,      ///< per_try_timeout has passed
  kRetryStatuses = 1u << 6,        ///< one of `statuses`
  kRetryGrpcStatuses = 1u << 7,    ///< one of `grpc_statuses`, in a trailers-only answer too
};

struct RetryPolicy {
  uint32_t on = kRetryConnectFailure | kRetryRefusedStream;
  std::vector<uint32_t> statuses;  ///< 100..599
  uint32_t grpc_statuses = 0;      ///< bit n: GrpcStatus n
  uint32_t max_retries = 1;
  std::chrono::milliseconds per_try_timeout{0};  ///< 0: none
  /// A request without an answer after so long is sent to a second endpoint as well, and the first answer of
  /// the two counts; 0: never. By what may be repeated at all, and within the retry budget.
  std::chrono::milliseconds hedge_after{0};
  RetryBackoff backoff;
  bool elsewhere = true;  ///< on endpoints that were not tried yet, if there are any
  /// Requests that may have been worked on are repeated only if their method is idempotent (RFC 9110
  /// section 9.2.2); true: any, because the operator knows better.
  bool any_method = false;
  friend bool operator==(const RetryPolicy&, const RetryPolicy&) = default;
};

enum class RequestKey : uint8_t { kHeader, kCookie, kSourceAddress, kPath, kQueryParameter };

/// A part of the number by which hash policies pick, or of the key of a rate limit.
struct KeyPart {
  RequestKey key = RequestKey::kSourceAddress;
  std::string name;       ///< of the header, cookie or parameter
  bool terminal = false;  ///< what comes behind is not looked at if this is there
  std::chrono::seconds cookie_ttl{
      -1};  ///< a cookie that is not there: below 0 is not set, 0 is for the session
  std::string cookie_path = "/";
  friend bool operator==(const KeyPart&, const KeyPart&) = default;
};

struct RoutePolicy {
  std::chrono::milliseconds request_timeout{
      15'000};  ///< from the end of the request to the end of the answer; 0: none
  std::chrono::milliseconds idle_timeout{300'000};  ///< without a byte either way; 0: none
  /// For a request's body to be whole, and a second more for each 250 bytes of it; 0: none. Not of gRPC calls
  /// and tunnels, and not once the answer has begun: those are streams.
  std::chrono::milliseconds body_timeout{60'000};
  /// The longest grpc-timeout that is believed, as a bound on the whole call; 0: any. Nothing: grpc-timeout
  /// is passed on and request_timeout applies.
  std::optional<std::chrono::milliseconds> max_grpc_timeout = std::chrono::milliseconds(0);
  std::optional<RetryPolicy> retry;
  std::optional<RateLimit> rate_limit;
  std::vector<KeyPart> rate_limit_key;  ///< one bucket per value; empty: one for the route
  std::vector<KeyPart> hash;            ///< for hash policies; empty: any endpoint
  uint64_t max_request_bytes = 0;       ///< 0: any
  /// Of the traces that begin with a request of the route; nothing: as its listener has it.
  std::optional<SampleRatio> trace_sample;
  friend bool operator==(const RoutePolicy&, const RoutePolicy&) = default;
};

}  // namespace sluice
