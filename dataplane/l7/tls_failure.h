// Why a TLS connection came to nothing: one name each, for counters, log and documentation (docs/tls.md).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "lb/counter.h"

namespace sluice::l7 {

enum class TlsFailure : uint8_t {
  kNone,
  kNotTls,               ///< the first bytes are no TLS, such as plain HTTP
  kNoSharedVersion,      ///< the peer's TLS versions are all too old
  kNoSharedCipher,       ///< no cipher, group or signature algorithm in common
  kNoSharedProtocol,     ///< ALPN offered nothing that is spoken here
  kUnknownName,          ///< no certificate for the name asked for, and unknown names are refused
  kNoClientCertificate,  ///< the client showed none
  kCertificateRefused,   ///< the peer's certificate did not verify
  kNameRefused,          ///< the endpoint's certificate is for other names
  kRefusedByPeer,        ///< the peer sent an alert
  kClosed,               ///< the peer left in mid-handshake
  kTimedOut,             ///< the handshake took too long
  kTruncated,            ///< afterwards: the connection ended without the peer's word that it is the end
  kProtocolError,        ///< anything else
};
inline constexpr size_t kTlsFailureKinds = static_cast<size_t>(TlsFailure::kProtocolError) + 1;

/// As counters have it: "not_tls".
const char* tls_failure_name(TlsFailure failure);
/// As the log has it: "the peer does not speak TLS".
const char* tls_failure_words(TlsFailure failure);

struct TlsVerdict {
  TlsFailure failure = TlsFailure::kNone;
  std::string detail;  ///< OpenSSL's words
};

/// What OpenSSL's error queue of this thread says; empties it. `verify_result` as SSL_get_verify_result()
/// gives it.
TlsVerdict take_tls_verdict(long verify_result);
/// The last of OpenSSL's errors of this thread in words; empties the queue.
std::string take_openssl_words();

/// Handshakes of one worker, on one side of the proxy.
struct TlsCounters {
  Counter handshakes;  ///< done
  Counter resumed;     ///< of those, by a session of an earlier connection
  std::array<Counter, kTlsFailureKinds> failures;
};

}  // namespace sluice::l7
