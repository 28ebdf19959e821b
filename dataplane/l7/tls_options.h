// What contexts towards clients and towards endpoints have in common.
#pragma once

#include <string>
#include <vector>

#include "dataplane/l7/openssl_handles.h"
#include "dataplane/l7/tls_certificate.h"
#include "dataplane/l7/tls_settings.h"
#include "lb/result.h"

namespace sluice::l7 {

/// A context with the proxy's defaults: no compression, no renegotiation, memory of idle connections given
/// back, records by the kernel where it can. `method` is TLS_server_method() or TLS_client_method(). Errors:
/// ciphers that OpenSSL does not know.
Result<SslContextHandle> make_tls_context(const SSL_METHOD* method, TlsVersion min_version,
                                          const std::string& ciphers, const std::string& ciphersuites);

/// Makes `context` show a certificate. Errors: too weak for OpenSSL's security level.
Result<void> use_certificate(SSL_CTX* context, const TlsCertificate& certificate);

/// Makes `context` accept what the authorities in a PEM file have signed.
Result<void> trust_authorities(SSL_CTX* context, const std::string& path, const char* what);

/// ALPN names as they are on the wire (RFC 7301 section 3.1). Errors: none or too long a name.
Result<std::string> alpn_wire(const std::vector<std::string>& protocols);

}  // namespace sluice::l7
