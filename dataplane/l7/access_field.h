// What an access log can tell of a request: the fields by name, as a format has them between percent signs.
// Their names are Envoy's where the meaning is, so that formats can be carried over.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "dataplane/l7/header_token.h"
#include "dataplane/l7/request_record.h"

namespace sluice::l7 {

enum class AccessField : uint8_t {
  kStartTime,
  kProtocol,
  kResponseCode,
  kGrpcStatus,
  kGrpcStatusNumber,
  kOutcome,
  kResponseFlags,
  kBytesReceived,
  kBytesSent,
  kDuration,
  kRequestDuration,
  kResponseDuration,
  kUpstreamDuration,
  kClient,
  kClientWithoutPort,
  kListener,
  kVirtualHost,
  kRoute,
  kCluster,
  kEndpoint,
  kTries,
  kUpstreamPath,
  kTlsVersion,
  kServerName,
  kAlpn,
  kTraceId,
  kSpanId,
  kRequestField,
  kResponseField,
  kTrailerField,
};
inline constexpr size_t kAccessFields = static_cast<size_t>(AccessField::kTrailerField) + 1;

struct AccessFieldText {
  std::string_view name;
  std::string_view help;
  bool number = false;    ///< in JSON, too
  bool argument = false;  ///< the name of a header field follows in parentheses
};

/// In the order of the enum. docs/access-log.md is tested against it.
inline constexpr std::array<AccessFieldText, kAccessFields> kAccessFieldTexts = {{
    {"START_TIME", "When the request's head had come: UTC, as in 2026-11-21T12:57:52.058Z."},
    {"PROTOCOL", "What the client spoke: HTTP/1.0, HTTP/1.1 or HTTP/2."},
    {"RESPONSE_CODE", "The HTTP status that went to the client.", true},
    {"GRPC_STATUS",
     "Of a gRPC call: the name of its status, such as UNAVAILABLE, the endpoint's or the proxy's own."},
    {"GRPC_STATUS_NUMBER", "The same as a number.", true},
    {"OUTCOME", "How the request ended, in the words of l7-outcomes.md."},
    {"RESPONSE_FLAGS", "What happened on its way, see below; several have commas between them."},
    {"BYTES_RECEIVED", "Bytes of the request's body.", true},
    {"BYTES_SENT", "Bytes of the answer's body that went to the client.", true},
    {"DURATION", "Milliseconds from the request's head to the end of everything.", true},
    {"REQUEST_DURATION", "Milliseconds until the client had sent its request whole.", true},
    {"RESPONSE_DURATION", "Milliseconds until the answer's head went to the client.", true},
    {"UPSTREAM_DURATION",
     "Milliseconds that the endpoint took, in the last try: from when the request was sent to the head of "
     "its answer.",
     true},
    {"DOWNSTREAM_REMOTE_ADDRESS", "The client's address and port."},
    {"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "The client's address."},
    {"LISTENER", "The listener's name."},
    {"VIRTUAL_HOST", "The name of the virtual host, if one matched."},
    {"ROUTE_NAME", "The route's name, if it has one."},
    {"UPSTREAM_CLUSTER", "The cluster that the request was for."},
    {"UPSTREAM_HOST", "Address and port of the endpoint, of the last try."},
    {"UPSTREAM_REQUEST_ATTEMPT_COUNT", "How often an endpoint was chosen: 1 without a retry, 0 if none was.",
     true},
    {"UPSTREAM_PATH", "The path as the endpoint sees it, after normalization and rewriting."},
    {"DOWNSTREAM_TLS_VERSION", "The client's TLS version, such as TLSv1.3."},
    {"REQUESTED_SERVER_NAME", "The name that the client asked for in TLS."},
    {"DOWNSTREAM_ALPN", "The protocol agreed on in TLS: h2 or http/1.1."},
    {"TRACE_ID", "The trace that the request belongs to, 32 hexadecimal digits."},
    {"SPAN_ID", "The proxy's own span in it, 16 hexadecimal digits."},
    {"REQ",
     "A field of the request's head as the endpoint sees it; :PATH and :AUTHORITY as the client sent them, "
     ":METHOD, "
     ":SCHEME.",
     false, true},
    {"RESP", "A field of the answer's head, as it went to the client.", false, true},
    {"TRAILER", "A field of the answer's trailers; of a gRPC answer that is a head alone, of that.", false,
     true},
}};

constexpr const AccessFieldText& text_of(AccessField field) {
  return kAccessFieldTexts[static_cast<size_t>(field)];
}

/// The name of a header field in a format.
struct AccessHeaderName {
  std::string name;  ///< in lower case; "": none
  HeaderToken token = HeaderToken::kOther;
};

/// Memory for a value that is made up of numbers.
class ValueScratch {
 public:
  ValueScratch& clear() {
    size_ = 0;
    return *this;
  }
  /// What does not fit is left out; nothing of what is written here comes near it.
  ValueScratch& add(std::string_view text) {
    const size_t size = std::min(text.size(), bytes_.size() - size_);
    std::copy_n(text.data(), size, bytes_.data() + size_);
    size_ += size;
    return *this;
  }
  ValueScratch& add(uint64_t number) {
    const auto end = std::to_chars(bytes_.data() + size_, bytes_.data() + bytes_.size(), number).ptr;
    size_ = static_cast<size_t>(end - bytes_.data());
    return *this;
  }
  /// With zeros in front, up to `digits`.
  ValueScratch& add_padded(uint64_t number, int digits) {
    uint64_t least = 1;
    for (int i = 1; i < digits; ++i) least *= 10;
    for (; number < least && least > 1; least /= 10) add("0");
    return add(number);
  }
  bool empty() const { return size_ == 0; }
  std::string_view view() const { return {bytes_.data(), size_}; }

 private:
  std::array<char, 192> bytes_;
  size_t size_ = 0;
};

/// The value of a field, not escaped; empty: there is none. `name`: of the header field, for those that take
/// an argument. Valid as long as the record and `scratch`.
std::string_view value_of(AccessField field, const AccessHeaderName& name, const RequestRecord& record,
                          ValueScratch& scratch);

}  // namespace sluice::l7
