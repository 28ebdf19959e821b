// A certificate, its chain, its key and its OCSP staple, read from files and checked against each other.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/l7/openssl_handles.h"
#include "dataplane/l7/tls_settings.h"
#include "lb/result.h"

namespace sluice::l7 {

/// What the certificate's authority has said about it, for clients that ask (RFC 6066 section 8).
struct OcspStaple {
  std::string der;
  std::chrono::system_clock::time_point until;  ///< clients refuse it from then on
  bool good = true;                             ///< not revoked
};

struct TlsCertificate {
  TlsCertificateFiles files;
  X509Handle leaf;
  std::vector<X509Handle> chain;
  KeyHandle key;
  std::vector<std::string> names;  ///< DNS names, sorted; may begin with "*."
  std::chrono::system_clock::time_point not_before;
  std::chrono::system_clock::time_point not_after;
  std::optional<OcspStaple> staple;
};

/// Reads and checks it. Errors name the file, what is wrong and what to do: missing, not readable, not PEM, a
/// key with a passphrase or of another certificate, a staple about another certificate.
Result<TlsCertificate> load_tls_certificate(const TlsCertificateFiles& files);

/// What does not stop the proxy but will stop clients: expired, not valid yet, revoked, a staple out of date.
std::vector<std::string> certificate_warnings(const TlsCertificate& certificate,
                                              std::chrono::system_clock::time_point now);

/// A whole file of at most a megabyte; `what` says in errors what it is for.
Result<std::string> read_tls_file(const std::string& path, const char* what);

}  // namespace sluice::l7
