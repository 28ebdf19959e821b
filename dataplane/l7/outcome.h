// How an exchange ended, as the access log's flags and the metrics say it. Each has a line in
// docs/l7-outcomes.md.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace sluice::l7 {

enum class Outcome : uint8_t {
  kAnswered,  ///< the upstream's answer went to the client, whole
  kDirect,    ///< the route says so: redirect or direct response
  kNoRoute,
  kNoEndpoint,
  kPendingFull,
  kPendingTimeout,
  kConnectFailed,
  kUpstreamReset,
  kUpstreamRefused,
  kRequestTimeout,
  kIdleTimeout,
  kClientGone,
  kCircuitOpen,
  kRateLimited,
  kTooLarge,
  kPathRefused,
  kUpgradeRefused,
  kOverload,
  kClientStalled,
  kClientSlow,
};
inline constexpr size_t kOutcomes = static_cast<size_t>(Outcome::kClientSlow) + 1;

struct OutcomeText {
  std::string_view name;  ///< in logs and metrics
  std::string_view help;
  uint16_t status = 0;       ///< what the proxy answers, 0: nothing of its own
  uint8_t grpc_status = 0;   ///< the same to a gRPC client
  std::string_view message;  ///< the answer's body, or grpc-message
};

/// In the order of the enum.
inline constexpr std::array<OutcomeText, kOutcomes> kOutcomeTexts = {{
    {"answered", "The endpoint's answer went to the client, whole.", 0, 0, ""},
    {"direct", "The route answered by itself: a redirect or a direct response.", 0, 0, ""},
    {"no_route", "No route matches the request.", 404, 12, "no route matches the request"},
    {"no_endpoint", "The cluster has no endpoint that can take a request.", 503, 14,
     "no endpoint can take the request"},
    {"pending_full",
     "More requests wait for a connection to the cluster's endpoints than max_pending allows.", 503, 14,
     "too many requests wait for a connection to the endpoint"},
    {"pending_timeout", "The request waited for a connection for longer than pending_timeout.", 503, 14,
     "no connection to the endpoint became free in time"},
    {"connect_failed", "No connection to the endpoint could be made.", 503, 14,
     "no connection to the endpoint"},
    {"upstream_reset", "The endpoint ended the stream, or its connection broke, before the answer was whole.",
     502, 14, "the endpoint ended the stream before its answer was whole"},
    {"upstream_refused", "The endpoint refused the stream before it looked at it.", 503, 14,
     "the endpoint refused the stream"},
    {"request_timeout",
     "The answer was not whole within the route's request_timeout, or the gRPC call's deadline.", 504, 4,
     "the endpoint did not answer in time"},
    {"idle_timeout", "Nothing came or went for the route's idle_timeout.", 504, 4,
     "nothing came or went for too long"},
    {"client_gone", "The client cancelled the request or its connection broke.", 0, 1, ""},
    {"circuit_open", "The cluster has as many requests open as max_requests allows.", 503, 14,
     "the cluster has too many requests open"},
    {"rate_limited", "The route's rate limit was reached.", 429, 8, "too many requests"},
    {"too_large", "The request's body is larger than the route's max_request_bytes.", 413, 8,
     "the request is too large"},
    {"path_refused", "The path has an escaped slash, which the listener refuses.", 400, 3,
     "the path has an escaped slash"},
    {"upgrade_refused", "The endpoint's HTTP/2 takes no extended CONNECT, which a WebSocket needs.", 501, 12,
     "the endpoint takes no extended CONNECT"},
    {"overload", "The proxy is at its memory limit.", 503, 8, "the proxy is overloaded"},
    {"client_stalled", "The client took nothing of the answer for the listener's stall_timeout.", 0, 1, ""},
    {"client_slow", "The request's body came more slowly than the route's body_timeout allows.", 408, 1,
     "the request came too slowly"},
}};

constexpr const OutcomeText& text_of(Outcome outcome) {
  return kOutcomeTexts[static_cast<size_t>(outcome)];
}

}  // namespace sluice::l7
