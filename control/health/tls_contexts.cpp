#include "control/health/tls_contexts.h"

namespace sluice::control {

namespace ssl = boost::asio::ssl;

ssl::context& TlsContexts::any() {
  if (!any_) {
    any_.emplace(ssl::context::tls_client);
    any_->set_verify_mode(ssl::verify_none);
  }
  return *any_;
}

ssl::context& TlsContexts::verifying() {
  if (!verifying_) {
    verifying_.emplace(ssl::context::tls_client);
    // Without any authority every certificate is refused, and the check says so.
    boost::system::error_code ignored;
    verifying_->set_default_verify_paths(ignored);
    verifying_->set_verify_mode(ssl::verify_peer);
  }
  return *verifying_;
}

}  // namespace sluice::control
