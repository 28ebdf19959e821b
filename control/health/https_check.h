// HTTP/1.1 over TLS.
#pragma once

#include <boost/asio/ssl/stream.hpp>

#include "control/health/http_check.h"
#include "control/health/tls_contexts.h"

namespace sluice::control {

class HttpsCheck final : public HttpCheck {
 public:
  HttpsCheck(const CheckContext& context, const HealthTarget& target);

 private:
  void on_connected() override;
  void on_handshake(const boost::system::error_code& error);
  /// The name that the server is asked for and its certificate is checked against, without a port.
  std::string server_name() const;

  boost::asio::ssl::stream<boost::asio::ip::tcp::socket&> tls_;
  bool name_refused_ = false;  ///< the certificate is sound, but for somebody else
};

}  // namespace sluice::control
