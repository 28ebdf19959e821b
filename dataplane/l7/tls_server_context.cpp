#include "dataplane/l7/tls_server_context.h"

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>

#include "dataplane/l7/tls_failure.h"
#include "dataplane/l7/tls_options.h"

namespace sluice::l7 {
namespace {

// Where a context of OpenSSL's keeps the object that it belongs to.
int owner_index() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

// Sessions are only resumed where clients are asked for the same: a session without a client certificate is
// no way round a listener that requires one.
Result<void> separate_sessions(SSL_CTX* context, const TlsServerSettings& settings) {
  std::string what = fmt::format("sluice {}", static_cast<int>(settings.client_certificates));
  if (settings.client_certificates != ClientCertificates::kNotAsked) {
    const auto authorities = read_tls_file(settings.client_ca, "client CA");
    if (!authorities) return tl::unexpected(authorities.error());
    what += *authorities;
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  if (EVP_Digest(what.data(), what.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1 ||
      SSL_CTX_set_session_id_context(context, digest.data(), size) != 1) {
    return fail(fmt::format("OpenSSL does not tell sessions apart: {}", take_openssl_words()));
  }
  return {};
}

bool same_names(const TlsCertificate& one, const TlsCertificate& other) {
  return one.names == other.names &&
         EVP_PKEY_get_base_id(one.key.get()) != EVP_PKEY_get_base_id(other.key.get());
}

}  // namespace

Result<TlsServerContext::Pointer> TlsServerContext::load(const TlsServerSettings& settings,
                                                         std::shared_ptr<TlsTicketKeys> keys,
                                                         std::chrono::system_clock::time_point now) {
  if (settings.certificates.empty()) return fail("no certificate: a TLS listener needs at least one");
  const std::shared_ptr<TlsServerContext> made(new TlsServerContext(std::move(keys)));
  auto protocols = alpn_wire(settings.protocols);
  if (!protocols) return tl::unexpected(protocols.error());
  made->protocols_ = *std::move(protocols);
  made->handshake_timeout_ = settings.handshake_timeout;
  made->refuse_unknown_names_ = settings.refuse_unknown_names;
  if (auto added = made->add_identities(settings, now); !added) return tl::unexpected(added.error());
  return made;
}

Result<void> TlsServerContext::add_identities(const TlsServerSettings& settings,
                                              std::chrono::system_clock::time_point now) {
  for (const TlsCertificateFiles& files : settings.certificates) {
    auto certificate = load_tls_certificate(files);
    if (!certificate) return tl::unexpected(certificate.error());
    for (std::string& warning : certificate_warnings(*certificate, now)) {
      warnings_.push_back(std::move(warning));
    }
    auto found = std::find_if(identities_.begin(), identities_.end(), [&](const auto& identity) {
      return same_names(identity->certificates.front(), *certificate);
    });
    if (found == identities_.end()) {
      auto context = make_tls_context(TLS_server_method(), settings.min_version, settings.ciphers,
                                      settings.ciphersuites);
      if (!context) return tl::unexpected(context.error());
      for (const std::string& name : certificate->names) names_.add(name, identities_.size());
      identities_.push_back(std::make_unique<Identity>(Identity{*std::move(context), {}}));
      found = identities_.end() - 1;
      if (auto done = configure((*found)->context.get(), settings); !done) return done;
      SSL_CTX_set_tlsext_status_cb((*found)->context.get(), staple);
      SSL_CTX_set_tlsext_status_arg((*found)->context.get(), found->get());
    }
    if (auto used = use_certificate((*found)->context.get(), *certificate); !used) return used;
    (*found)->certificates.push_back(*std::move(certificate));
  }
  return {};
}

Result<void> TlsServerContext::configure(SSL_CTX* context, const TlsServerSettings& settings) {
  SSL_CTX_set_ex_data(context, owner_index(), this);
  SSL_CTX_set_tlsext_servername_callback(context, choose_identity);
  SSL_CTX_set_tlsext_servername_arg(context, this);
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, this);
  // Sessions are in their clients' tickets: workers share nothing, and remember nothing.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_timeout(context, static_cast<long>(keys_->lifetime().count()));
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ticket_key);
  if (!settings.session_tickets) {
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(context, 0);
  }
  if (auto separated = separate_sessions(context, settings); !separated) return separated;
  return ask_for_certificates(context, settings);
}

Result<void> TlsServerContext::ask_for_certificates(SSL_CTX* context, const TlsServerSettings& settings) {
  if (settings.client_certificates == ClientCertificates::kNotAsked) return {};
  if (auto trusted = trust_authorities(context, settings.client_ca, "client CA"); !trusted) return trusted;
  SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(settings.client_ca.c_str()));
  const bool required = settings.client_certificates == ClientCertificates::kRequired;
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
  return {};
}

std::unique_ptr<TlsSession> TlsServerContext::open_session(int fd) const {
  SslHandle ssl(SSL_new(identities_.front()->context.get()));
  if (!ssl || SSL_set_fd(ssl.get(), fd) != 1) throw std::bad_alloc();
  SSL_set_accept_state(ssl.get());
  return std::make_unique<TlsSession>(ssl.release(), TlsSession::Role::kServer, shared_from_this());
}

const TlsServerContext& TlsServerContext::of(SSL* ssl) {
  return *static_cast<const TlsServerContext*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), owner_index()));
}

int TlsServerContext::choose_identity(SSL* ssl, int* alert, void* self) {
  const auto& server = *static_cast<const TlsServerContext*>(self);
  const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  const auto found = name == nullptr ? std::nullopt : server.names_.find(name);
  if (found) {
    if (*found != 0) SSL_set_SSL_CTX(ssl, server.identities_[*found]->context.get());
    return SSL_TLSEXT_ERR_OK;
  }
  if (!server.refuse_unknown_names_) return SSL_TLSEXT_ERR_NOACK;
  *alert = SSL_AD_UNRECOGNIZED_NAME;
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

int TlsServerContext::choose_protocol(SSL* /*ssl*/, const unsigned char** chosen, unsigned char* chosen_size,
                                      const unsigned char* offered, unsigned offered_size, void* self) {
  const std::string& ours = static_cast<const TlsServerContext*>(self)->protocols_;
  if (ours.empty()) return SSL_TLSEXT_ERR_NOACK;
  for (size_t at = 0; at < ours.size(); at += 1 + static_cast<unsigned char>(ours[at])) {
    const size_t size = static_cast<unsigned char>(ours[at]);
    // OpenSSL has checked that lengths add up.
    for (unsigned other = 0; other < offered_size; other += 1u + offered[other]) {
      if (offered[other] != size || std::memcmp(offered + other + 1, ours.data() + at + 1, size) != 0)
        continue;
      *chosen = offered + other + 1;
      *chosen_size = offered[other];
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;  // RFC 7301 section 3.2: no_application_protocol
}

int TlsServerContext::staple(SSL* ssl, void* identity) {
  const X509* shown = SSL_get_certificate(ssl);
  for (const TlsCertificate& certificate : static_cast<const Identity*>(identity)->certificates) {
    if (certificate.leaf.get() != shown || !certificate.staple) continue;
    if (std::chrono::system_clock::now() >= certificate.staple->until) return SSL_TLSEXT_ERR_NOACK;
    const std::string& der = certificate.staple->der;
    void* copy = OPENSSL_memdup(der.data(), der.size());  // OpenSSL frees it
    if (copy == nullptr) return SSL_TLSEXT_ERR_NOACK;
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, static_cast<long>(der.size()));
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_NOACK;
}

// OpenSSL's answers: -1 for an error, 0 for no such key, 1 for a key, 2 for a key and a new ticket.
int TlsServerContext::ticket_key(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                                 EVP_MAC_CTX* mac, int sealing) {
  TlsTicketKeys& keys = *of(ssl).keys_;
  const auto now = TlsTicketKeys::Clock::now();
  TicketKey key;
  int answer = 1;
  if (sealing == 1) {
    key = keys.sealing(now);
    std::memcpy(name, key.name.data(), key.name.size());
    if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1) return -1;
  } else {
    const auto found = keys.opening(std::span<const uint8_t, 16>(name, 16), now);
    if (!found) return 0;
    key = found->key;
    // RFC 8446 appendix C.4: a TLS 1.3 client uses each ticket once, so it gets another.
    answer = found->current && SSL_version(ssl) < TLS1_3_VERSION ? 1 : 2;
  }
  char digest[] = "SHA256";
  const std::array<OSSL_PARAM, 3> parameters{
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.mac.data(), key.mac.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
  const auto start = sealing == 1 ? EVP_EncryptInit_ex : EVP_DecryptInit_ex;
  const bool good = EVP_MAC_CTX_set_params(mac, parameters.data()) == 1 &&
                    start(cipher, EVP_aes_256_cbc(), nullptr, key.cipher.data(), iv) == 1;
  OPENSSL_cleanse(&key, sizeof(key));
  return good ? answer : -1;
}

}  // namespace sluice::l7
