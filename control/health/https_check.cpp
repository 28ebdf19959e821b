#include "control/health/https_check.h"

#include <fmt/format.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>

#include "control/health/socket_error.h"

namespace sluice::control {

namespace ssl = boost::asio::ssl;

HttpsCheck::HttpsCheck(const CheckContext& context, const HealthTarget& target)
    : HttpCheck(context, target),
      tls_(socket_, target.check.verify_certificate ? context.tls.verifying() : context.tls.any()) {}

std::string HttpsCheck::server_name() const {
  const std::string& host = target_.check.host;
  if (host.empty()) return target_.checked_address().to_string();
  if (host.front() == '[') return host.substr(1, host.find(']') - 1);
  return host.substr(0, host.find(':'));
}

void HttpsCheck::on_connected() {
  awaited_ = "TLS handshake";
  const std::string name = server_name();
  // RFC 6066, section 3: no literal addresses as server names.
  if (!IpAddress::parse(name)) SSL_set_tlsext_host_name(tls_.native_handle(), name.c_str());
  if (target_.check.verify_certificate) {
    tls_.set_verify_callback(
        [this, verify = ssl::host_name_verification(name)](bool sound, ssl::verify_context& context) {
          const bool accepted = verify(sound, context);
          if (sound && !accepted) name_refused_ = true;
          return accepted;
        });
  }
  static constexpr unsigned char kAlpn[] = "\x08http/1.1";
  SSL_set_alpn_protos(tls_.native_handle(), kAlpn, sizeof(kAlpn) - 1);
  tls_.async_handshake(ssl::stream_base::client,
                       [this, self = shared_from_this()](const boost::system::error_code& error) {
                         if (!ended()) on_handshake(error);
                       });
}

void HttpsCheck::on_handshake(const boost::system::error_code& error) {
  if (!error) {
    awaited_ = "answer";
    exchange(tls_);
    return;
  }
  if (name_refused_) {
    finish(CheckResult::bad(fmt::format("certificate refused: it is not for '{}'", printable(server_name())),
                            CheckResult::Failure::kNetwork));
    return;
  }
  const long verified = SSL_get_verify_result(tls_.native_handle());
  if (target_.check.verify_certificate && verified != X509_V_OK) {
    finish(CheckResult::bad(
        fmt::format("certificate refused: {}", printable(X509_verify_cert_error_string(verified))),
        CheckResult::Failure::kNetwork));
  } else if (error == ssl::error::stream_truncated || error == boost::asio::error::eof) {
    finish(socket_failure(boost::asio::error::eof, "in the TLS handshake"));
  } else if (error.category() == boost::system::system_category()) {
    finish(socket_failure(error, "in the TLS handshake"));
  } else {
    finish(CheckResult::bad(fmt::format("TLS handshake failed: {}", printable(error.message())),
                            CheckResult::Failure::kNetwork));
  }
}

}  // namespace sluice::control
