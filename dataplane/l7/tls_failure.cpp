#include "dataplane/l7/tls_failure.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

namespace sluice::l7 {
namespace {

struct Words {
  const char* name;
  const char* words;
};

constexpr std::array<Words, kTlsFailureKinds> kWords{{
    {"none", "no failure"},
    {"not_tls", "the peer does not speak TLS"},
    {"no_shared_version", "no TLS version in common"},
    {"no_shared_cipher", "no cipher in common"},
    {"no_shared_protocol", "no protocol in common (ALPN)"},
    {"unknown_name", "no certificate for the server name"},
    {"no_client_certificate", "the client has shown no certificate"},
    {"certificate_refused", "the peer's certificate is not accepted"},
    {"name_refused", "the certificate is for another name"},
    {"refused_by_peer", "the peer has refused the connection"},
    {"closed", "closed by the peer in the TLS handshake"},
    {"timed_out", "no TLS handshake within the time-out"},
    {"truncated", "closed by the peer without a TLS end"},
    {"protocol_error", "TLS protocol error"},
}};

TlsFailure kind_of(int reason, long verify_result) {
  // From here on the numbers are those of alerts received (RFC 8446 section 6).
  if (reason >= SSL_AD_REASON_OFFSET) return TlsFailure::kRefusedByPeer;
  switch (reason) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER:
      return TlsFailure::kNotTls;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
    case SSL_R_VERSION_TOO_LOW:
      return TlsFailure::kNoSharedVersion;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_GROUPS:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
      return TlsFailure::kNoSharedCipher;
    case SSL_R_NO_APPLICATION_PROTOCOL:
      return TlsFailure::kNoSharedProtocol;
    // The only callback of ours that refuses is the one for server names.
    case SSL_R_CALLBACK_FAILED:
      return TlsFailure::kUnknownName;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return TlsFailure::kNoClientCertificate;
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
      return verify_result == X509_V_ERR_HOSTNAME_MISMATCH || verify_result == X509_V_ERR_IP_ADDRESS_MISMATCH
                 ? TlsFailure::kNameRefused
                 : TlsFailure::kCertificateRefused;
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
      return TlsFailure::kTruncated;
    default:
      return TlsFailure::kProtocolError;
  }
}

const char* reason_words(unsigned long error) {
  const char* words = ERR_reason_error_string(error);
  return words == nullptr ? "unknown error" : words;
}

}  // namespace

const char* tls_failure_name(TlsFailure failure) {
  return kWords[static_cast<size_t>(failure)].name;
}

const char* tls_failure_words(TlsFailure failure) {
  return kWords[static_cast<size_t>(failure)].words;
}

TlsVerdict take_tls_verdict(long verify_result) {
  // The first error is the cause; what follows are its consequences.
  const unsigned long error = ERR_peek_error();
  TlsVerdict verdict;
  verdict.failure = ERR_GET_LIB(error) == ERR_LIB_SSL ? kind_of(ERR_GET_REASON(error), verify_result)
                                                      : TlsFailure::kProtocolError;
  verdict.detail = reason_words(error);
  if (verdict.failure == TlsFailure::kCertificateRefused || verdict.failure == TlsFailure::kNameRefused) {
    verdict.detail = X509_verify_cert_error_string(verify_result);
  }
  ERR_clear_error();
  return verdict;
}

std::string take_openssl_words() {
  const unsigned long error = ERR_peek_last_error();
  std::string words = error == 0 ? "no reason given" : reason_words(error);
  ERR_clear_error();
  return words;
}

}  // namespace sluice::l7
