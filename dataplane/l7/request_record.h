// All that is known of a request at its end, for those who tell of it: the access log, and traces. Views into
// what the exchange and the configuration hold; nothing is copied, and it is made only if somebody wants it.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "dataplane/l7/header_list.h"
#include "dataplane/l7/outcome.h"
#include "lb/l7/endpoint.h"
#include "lb/l7/endpoint_results.h"
#include "lb/l7/grpc_status.h"

namespace sluice::l7 {

/// What happened to a request on its way, beside how it ended. Bits of RequestRecord::events, in the order of
/// kRequestEventTexts.
enum class RequestEvent : uint8_t {
  kConnectFailed,
  kRefused,
  kReset,
  kTryTimedOut,
  kAnswerRetried,
  kRetryRefused,
  kHedged,
  kMoved,
  kCutShort,
};
inline constexpr size_t kRequestEvents = static_cast<size_t>(RequestEvent::kCutShort) + 1;

struct RequestEventText {
  std::string_view name;  ///< in the access log
  std::string_view help;
};

/// In the order of the enum. Each has a line in docs/access-log.md.
inline constexpr std::array<RequestEventText, kRequestEvents> kRequestEventTexts = {{
    {"connect_failed", "No connection to an endpoint could be made."},
    {"refused", "An endpoint refused the request before it looked at it."},
    {"reset", "An endpoint ended the stream, or its connection broke, before its answer began."},
    {"try_timeout", "A try took longer than the route's per_try_timeout."},
    {"answer_retried", "An endpoint's answer was held back and the request sent again, as the route says."},
    {"retry_refused", "The request would have been sent again, but the cluster's retry budget was used up."},
    {"hedged", "A second try was made beside the first one, which was slow."},
    {"moved",
     "An endpoint ended its connection in order before it looked at the request, which went elsewhere."},
    {"cut_short", "A part of the answer had gone to the client when it broke off."},
}};

/// What the client spoke.
enum class ClientProtocol : uint8_t { kHttp10, kHttp11, kHttp2 };

struct RequestRecord {
  using Duration = std::chrono::nanoseconds;

  std::chrono::system_clock::time_point began;  ///< when its head had come
  Outcome outcome = Outcome::kAnswered;
  uint32_t events = 0;                    ///< bits, see RequestEvent
  uint16_t status = 0;                    ///< that went to the client; 0: none did
  std::optional<GrpcStatus> grpc_status;  ///< of a gRPC call: the endpoint's or the proxy's

  // Who asked.
  std::string_view client_address;
  uint16_t client_port = 0;
  ClientProtocol protocol = ClientProtocol::kHttp2;
  std::string_view listener;
  std::string_view tls_version;  ///< "": cleartext
  std::string_view server_name;  ///< that the client asked for in TLS
  std::string_view alpn;

  // What was asked.
  const HeaderList* request = nullptr;  ///< as an endpoint sees it, after the route's edits
  std::string_view path;                ///< as the client sent it
  std::string_view authority;           ///< likewise
  uint64_t request_bytes = 0;           ///< of the body

  // Where it went.
  std::string_view virtual_host;
  std::string_view route;
  std::string_view cluster;
  const EndpointId* endpoint = nullptr;  ///< of the last try; nullptr: none was chosen
  uint32_t tries = 0;                    ///< how often an endpoint was chosen

  // What was answered.
  const HeaderList* response =
      nullptr;  ///< those of the head's fields that are wanted, as they went to the client
  const HeaderList* trailers = nullptr;
  uint64_t response_bytes = 0;  ///< of the body, that went to the client

  // How long it took.
  Duration whole{0};
  std::optional<Duration> until_request_end;  ///< until the client had sent all
  std::optional<Duration> until_answer;       ///< until the answer's head went to the client
  std::optional<Duration>
      endpoint_took;  ///< from when it had the request, in the last try, to the head of the endpoint's answer

  // Of W3C's trace context; all zero: none.
  std::array<uint8_t, 16> trace_id{};
  std::array<uint8_t, 8> span_id{};

  bool has(RequestEvent event) const { return (events >> static_cast<uint32_t>(event) & 1) != 0; }
  /// Whether something went wrong that is not the client's doing alone: the proxy or the endpoint failed, a
  /// limit was reached, or the client did not wait for the end.
  bool failed() const {
    if (outcome != Outcome::kAnswered && outcome != Outcome::kDirect) return true;
    return status >= 500 || (grpc_status && result_of_grpc(*grpc_status) != RequestResult::kSuccess);
  }
};

}  // namespace sluice::l7
