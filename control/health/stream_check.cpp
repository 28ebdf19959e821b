#include "control/health/stream_check.h"

#include <fmt/format.h>

#include "control/health/endpoint.h"
#include "control/health/socket_error.h"

namespace sluice::control {

using boost::asio::ip::tcp;

void StreamCheck::begin() {
  const tcp::endpoint endpoint(asio_address(target_.address), target_.port);
  boost::system::error_code error;
  socket_.open(endpoint.protocol(), error);
  // Closed by RST: thousands of connections a second must not leave as many in TIME_WAIT.
  if (!error) socket_.set_option(boost::asio::socket_base::linger(true, 0), error);
  if (error) {
    finish(socket_failure(error));
    return;
  }
  socket_.async_connect(endpoint,
                        [this, self = shared_from_this()](const boost::system::error_code& failure) {
                          if (ended()) return;
                          if (failure) {
                            finish(socket_failure(failure));
                          } else {
                            awaited_ = "answer";
                            on_connected();
                          }
                        });
}

void StreamCheck::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

std::string StreamCheck::authority() const {
  const std::string address = target_.address.to_string();
  return target_.address.is_v6() ? fmt::format("[{}]:{}", address, target_.port)
                                 : fmt::format("{}:{}", address, target_.port);
}

}  // namespace sluice::control
