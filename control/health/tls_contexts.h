// The two ways to look at a server's certificate. Made once: loading the system's authorities takes
// milliseconds.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <optional>

namespace sluice::control {

class TlsContexts {
 public:
  /// Takes any certificate.
  boost::asio::ssl::context& any();
  /// Accepts what the system's authorities have signed; OpenSSL's SSL_CERT_FILE and SSL_CERT_DIR replace
  /// them.
  boost::asio::ssl::context& verifying();

 private:
  std::optional<boost::asio::ssl::context> any_;
  std::optional<boost::asio::ssl::context> verifying_;
};

}  // namespace sluice::control
