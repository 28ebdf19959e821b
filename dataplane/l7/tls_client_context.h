// All that TLS towards a cluster's endpoints needs, read once and not changed any more.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/l7/openssl_handles.h"
#include "dataplane/l7/tls_certificate.h"
#include "dataplane/l7/tls_session.h"
#include "dataplane/l7/tls_settings.h"
#include "lb/result.h"

namespace sluice::l7 {

class TlsClientContext;

/// The last session with one endpoint, for the next connection to it; of one worker.
class TlsResumption {
 public:
  /// Keeps a session that was made with `context`.
  void keep(SslSessionHandle session, std::shared_ptr<const void> context) {
    session_ = std::move(session);
    context_ = std::move(context);
  }
  /// The session, if it was made with just this context: another one may trust other authorities.
  SSL_SESSION* session_for(const TlsClientContext& context) const {
    return context_.get() == &context ? session_.get() : nullptr;
  }

 private:
  SslSessionHandle session_;
  std::shared_ptr<const void> context_;
};

class TlsClientContext : public std::enable_shared_from_this<TlsClientContext> {
 public:
  using Pointer = std::shared_ptr<const TlsClientContext>;

  /// Reads all files. Errors name the file or field, and say what to do.
  static Result<Pointer> load(const TlsClientSettings& settings, std::chrono::system_clock::time_point now);

  /// TLS for a connection to `endpoint` (an address), which is also the name to verify where the settings
  /// have none. `resumption` may be nullptr. Never nullptr, which would be a plain one.
  std::unique_ptr<TlsSession> open_session(int fd, std::string_view endpoint,
                                           std::shared_ptr<TlsResumption> resumption) const;
  /// What will trouble endpoints, such as an expired certificate.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  TlsClientContext() = default;
  Result<void> read_files(const TlsClientSettings& settings, std::chrono::system_clock::time_point now);
  bool name_peer(SSL* ssl, const std::string& name) const;

  SslContextHandle context_;
  std::string server_name_;
  bool verify_ = true;
  std::vector<std::string> warnings_;
};

}  // namespace sluice::l7
