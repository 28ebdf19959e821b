#include "dataplane/l7/tls_options.h"

#include <fmt/format.h>
#include <openssl/err.h>

#include "dataplane/l7/tls_failure.h"

namespace sluice::l7 {
namespace {

// Forward secrecy and AEAD only: what RFC 9113 appendix A leaves over for HTTP/2. AES-128 comes first: it is
// a fifth faster than AES-256, and as far out of reach.
constexpr const char* kCiphers =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr const char* kCiphersuites =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr const char* kGroups = "X25519:P-256:P-384";

}  // namespace

Result<SslContextHandle> make_tls_context(const SSL_METHOD* method, TlsVersion min_version,
                                          const std::string& ciphers, const std::string& ciphersuites) {
  ERR_clear_error();
  SslContextHandle context(SSL_CTX_new(method));
  if (!context) return fail(fmt::format("OpenSSL makes no TLS context: {}", take_openssl_words()));
  SSL_CTX* raw = context.get();
  SSL_CTX_set_min_proto_version(raw, min_version == TlsVersion::kTls13 ? TLS1_3_VERSION : TLS1_2_VERSION);
  // A client that prefers ChaCha20 has no AES instructions: it gets its way, all others the server's.
  SSL_CTX_set_options(raw, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                               SSL_OP_PRIORITIZE_CHACHA | SSL_OP_ENABLE_KTLS);
  // The chain is what the file says; none is made up from the authorities that clients are checked against.
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                            SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
  if (SSL_CTX_set_cipher_list(raw, ciphers.empty() ? kCiphers : ciphers.c_str()) != 1) {
    return fail(fmt::format("ciphers '{}': {}; `openssl ciphers -tls1_2` lists those known", ciphers,
                            take_openssl_words()));
  }
  if (SSL_CTX_set_ciphersuites(raw, ciphersuites.empty() ? kCiphersuites : ciphersuites.c_str()) != 1) {
    return fail(fmt::format("ciphersuites '{}': {}; `openssl ciphers -tls1_3 -s` lists those known",
                            ciphersuites, take_openssl_words()));
  }
  if (SSL_CTX_set1_groups_list(raw, kGroups) != 1) {
    return fail(fmt::format("OpenSSL does not know the groups {}: {}", kGroups, take_openssl_words()));
  }
  return context;
}

Result<void> use_certificate(SSL_CTX* context, const TlsCertificate& certificate) {
  STACK_OF(X509)* chain = sk_X509_new_null();
  for (const X509Handle& issuer : certificate.chain) sk_X509_push(chain, issuer.get());
  const int used = SSL_CTX_use_cert_and_key(context, certificate.leaf.get(), certificate.key.get(), chain, 1);
  sk_X509_free(chain);
  if (used == 1) return {};
  return fail(fmt::format("certificate file {}: OpenSSL does not take it: {}; make a new key and certificate",
                          certificate.files.certificate, take_openssl_words()));
}

Result<void> trust_authorities(SSL_CTX* context, const std::string& path, const char* what) {
  const auto readable = read_tls_file(path, what);
  if (!readable) return tl::unexpected(readable.error());
  ERR_clear_error();
  if (SSL_CTX_load_verify_file(context, path.c_str()) == 1) return {};
  return fail(
      fmt::format("{} file {}: no certificates in PEM form in it ({})", what, path, take_openssl_words()));
}

Result<std::string> alpn_wire(const std::vector<std::string>& protocols) {
  std::string wire;
  for (const std::string& protocol : protocols) {
    if (protocol.empty() || protocol.size() > 255) {
      return fail(
          fmt::format("protocol '{}': an ALPN name has 1 to 255 letters, such as h2 or http/1.1", protocol));
    }
    wire += static_cast<char>(protocol.size());
    wire += protocol;
  }
  return wire;
}

}  // namespace sluice::l7
