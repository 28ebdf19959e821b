#include "control/health/stream_check.h"

#include <fmt/format.h>

#include "control/health/endpoint.h"
#include "control/health/socket_error.h"
#include "control/health/tunnel_path.h"

namespace sluice::control {

using boost::asio::ip::tcp;

void StreamCheck::begin() {
  tcp::endpoint endpoint(asio_address(target_.checked_address()), target_.port);
  boost::system::error_code error;
  socket_.open(endpoint.protocol(), error);
  // Closed by RST: thousands of connections a second must not leave as many in TIME_WAIT.
  if (!error) socket_.set_option(boost::asio::socket_base::linger(true, 0), error);
  if (error) {
    finish(socket_failure(error));
    return;
  }
  if (target_.vip) {
    const auto way = tunnel_->lead(socket_.native_handle(), Protocol::kTcp, target_);
    if (!way) {
      finish(way.error());
      return;
    }
    endpoint.address(asio_address(way->address, way->scope));
  }
  socket_.async_connect(endpoint,
                        [this, self = shared_from_this()](const boost::system::error_code& failure) {
                          if (ended()) return;
                          if (failure) {
                            finish(socket_failure(failure));
                          } else {
                            awaited_ = "answer";
                            connected_ = true;
                            on_connected();
                          }
                        });
}

CheckResult StreamCheck::timed_out(std::chrono::milliseconds limit) const {
  CheckResult result = Check::timed_out(limit);
  if (target_.vip && !connected_) result.error += " through the tunnel: " + tunnel_->advice(target_);
  return result;
}

void StreamCheck::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

std::string StreamCheck::authority() const {
  const std::string address = target_.checked_address().to_string();
  return target_.checked_address().is_v6() ? fmt::format("[{}]:{}", address, target_.port)
                                           : fmt::format("{}:{}", address, target_.port);
}

}  // namespace sluice::control
