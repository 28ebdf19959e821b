// All that TLS towards clients needs, read once and not changed any more: workers share one, and a reload
// puts a new one in its place for new connections, while old ones keep theirs.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/l7/openssl_handles.h"
#include "dataplane/l7/server_name_index.h"
#include "dataplane/l7/tls_certificate.h"
#include "dataplane/l7/tls_session.h"
#include "dataplane/l7/tls_settings.h"
#include "dataplane/l7/tls_ticket_keys.h"
#include "lb/result.h"

namespace sluice::l7 {

class TlsServerContext : public std::enable_shared_from_this<TlsServerContext> {
 public:
  using Pointer = std::shared_ptr<const TlsServerContext>;

  /// Reads all files. `keys` are those of the process: with them clients resume sessions of other workers,
  /// and of contexts from before a reload. `now` is what warnings go by. Errors name the file or field, and
  /// say what to do.
  static Result<Pointer> load(const TlsServerSettings& settings, std::shared_ptr<TlsTicketKeys> keys,
                              std::chrono::system_clock::time_point now);

  /// TLS for an accepted connection. Never nullptr, which would be a plain one.
  std::unique_ptr<TlsSession> open_session(int fd) const;
  /// What will trouble clients, such as an expired certificate.
  const std::vector<std::string>& warnings() const { return warnings_; }
  std::chrono::milliseconds handshake_timeout() const { return handshake_timeout_; }

 private:
  // Certificates for the same names.
  struct Identity {
    SslContextHandle context;
    std::vector<TlsCertificate> certificates;
  };

  explicit TlsServerContext(std::shared_ptr<TlsTicketKeys> keys) : keys_(std::move(keys)) {}
  Result<void> add_identities(const TlsServerSettings& settings, std::chrono::system_clock::time_point now);
  Result<void> configure(SSL_CTX* context, const TlsServerSettings& settings);
  Result<void> ask_for_certificates(SSL_CTX* context, const TlsServerSettings& settings);

  static const TlsServerContext& of(SSL* ssl);
  static int choose_identity(SSL* ssl, int* alert, void* self);
  static int choose_protocol(SSL* ssl, const unsigned char** chosen, unsigned char* chosen_size,
                             const unsigned char* offered, unsigned offered_size, void* self);
  static int staple(SSL* ssl, void* identity);
  static int ticket_key(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                        EVP_MAC_CTX* mac, int sealing);

  std::shared_ptr<TlsTicketKeys> keys_;
  std::vector<std::unique_ptr<Identity>> identities_;
  ServerNameIndex names_;
  std::string protocols_;  // as on the wire
  std::vector<std::string> warnings_;
  std::chrono::milliseconds handshake_timeout_{0};
  bool refuse_unknown_names_ = false;
};

}  // namespace sluice::l7
