// Names of the header fields that the proxy itself looks at or that HPACK's static table knows, as one byte:
// a name is compared once, when it is read, and never again on its way.
#pragma once

#include <cstdint>
#include <string_view>

namespace sluice::l7 {

enum class HeaderToken : uint8_t {
  kOther,
  // The pseudo-header fields of RFC 9113 section 8.3 and RFC 8441. They stand first: see is_pseudo().
  kAuthority,
  kMethod,
  kPath,
  kScheme,
  kStatus,
  kProtocol,
  // Fields about the connection (RFC 9110 section 7.6.1), never forwarded as they are.
  kConnection,
  kKeepAlive,
  kProxyConnection,
  kTransferEncoding,
  kUpgrade,
  kHttp2Settings,
  kTe,
  kTrailer,
  // Fields with a meaning for the proxy.
  kContentLength,
  kContentType,
  kCookie,
  kDate,
  kExpect,
  kForwardedFor,
  kForwardedProto,
  kGrpcMessage,
  kGrpcStatus,
  kGrpcTimeout,
  kHost,
  kLocation,
  kRequestId,
  kServer,
  kSetCookie,
  kTraceparent,
  kTracestate,
  kUserAgent,
  kVia,
};

/// Names of RFC 9113's pseudo-header fields begin with a colon.
constexpr bool is_pseudo(HeaderToken token) {
  return token >= HeaderToken::kAuthority && token <= HeaderToken::kProtocol;
}

/// The token of a name in lower case; kOther for a name without one.
HeaderToken token_of(std::string_view name);

/// The name of a token; empty for kOther.
std::string_view name_of(HeaderToken token);

}  // namespace sluice::l7
