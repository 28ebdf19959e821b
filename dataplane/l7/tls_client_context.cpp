#include "dataplane/l7/tls_client_context.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <new>

#include "dataplane/l7/tls_failure.h"
#include "dataplane/l7/tls_options.h"
#include "lb/address.h"

namespace sluice::l7 {

Result<TlsClientContext::Pointer> TlsClientContext::load(const TlsClientSettings& settings,
                                                         std::chrono::system_clock::time_point now) {
  const std::shared_ptr<TlsClientContext> made(new TlsClientContext);
  auto context =
      make_tls_context(TLS_client_method(), settings.min_version, settings.ciphers, settings.ciphersuites);
  if (!context) return tl::unexpected(context.error());
  made->context_ = *std::move(context);
  made->server_name_ = settings.server_name;
  made->verify_ = settings.verify;
  SSL_CTX* raw = made->context_.get();
  if (settings.server_name.size() > TLSEXT_MAXLEN_host_name ||
      settings.server_name.find('\0') != std::string::npos) {
    return fail(fmt::format("server name '{}': a host name has at most {} letters", settings.server_name,
                            TLSEXT_MAXLEN_host_name));
  }
  const auto protocols = alpn_wire(settings.protocols);
  if (!protocols) return tl::unexpected(protocols.error());
  // 0 is success, here alone.
  if (SSL_CTX_set_alpn_protos(raw, reinterpret_cast<const unsigned char*>(protocols->data()),
                              static_cast<unsigned>(protocols->size())) != 0) {
    return fail(fmt::format("OpenSSL does not take the protocols: {}", take_openssl_words()));
  }
  if (settings.resume_sessions) {
    SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(raw, TlsSession::on_new_session);
  } else {
    SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  }
  if (auto read = made->read_files(settings, now); !read) return tl::unexpected(read.error());
  return made;
}

Result<void> TlsClientContext::read_files(const TlsClientSettings& settings,
                                          std::chrono::system_clock::time_point now) {
  SSL_CTX* raw = context_.get();
  SSL_CTX_set_verify(raw, settings.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (settings.verify && !settings.ca.empty()) {
    if (auto trusted = trust_authorities(raw, settings.ca, "CA"); !trusted) return trusted;
  } else if (settings.verify && SSL_CTX_set_default_verify_paths(raw) != 1) {
    return fail(
        fmt::format("the system's authorities cannot be read: {}; name a CA file", take_openssl_words()));
  }
  if (settings.certificate.empty() != settings.key.empty()) {
    return fail("a client certificate needs both its certificate file and its key file");
  }
  if (settings.certificate.empty()) return {};
  const auto certificate = load_tls_certificate({settings.certificate, settings.key, ""});
  if (!certificate) return tl::unexpected(certificate.error());
  warnings_ = certificate_warnings(*certificate, now);
  return use_certificate(raw, *certificate);
}

// RFC 6066 section 3: addresses are no server names, but certificates may be for them.
bool TlsClientContext::name_peer(SSL* ssl, const std::string& name) const {
  const bool address = IpAddress::parse(name).has_value();
  if (!address && SSL_set_tlsext_host_name(ssl, name.c_str()) != 1) return false;
  if (!verify_) return true;
  if (address) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str()) == 1;
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return SSL_set1_host(ssl, name.c_str()) == 1;
}

std::unique_ptr<TlsSession> TlsClientContext::open_session(int fd, std::string_view endpoint,
                                                           std::shared_ptr<TlsResumption> resumption) const {
  SslHandle ssl(SSL_new(context_.get()));
  const std::string name = server_name_.empty() ? std::string(endpoint) : server_name_;
  // Names have been looked at, so memory is all that can be missing.
  if (!ssl || SSL_set_fd(ssl.get(), fd) != 1 || !name_peer(ssl.get(), name)) throw std::bad_alloc();
  if (resumption) {
    SSL_SESSION* session = resumption->session_for(*this);
    if (session != nullptr && SSL_SESSION_is_resumable(session) == 1) SSL_set_session(ssl.get(), session);
  }
  SSL_set_connect_state(ssl.get());
  return std::make_unique<TlsSession>(ssl.release(), TlsSession::Role::kClient, shared_from_this(),
                                      std::move(resumption));
}

}  // namespace sluice::l7
