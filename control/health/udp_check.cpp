#include "control/health/udp_check.h"

#include <fmt/format.h>

#include <boost/asio/buffer.hpp>
#include <cerrno>
#include <string_view>

#include "control/health/endpoint.h"
#include "control/health/icmp_errors.h"
#include "control/health/socket_error.h"
#include "control/health/tunnel_path.h"

namespace sluice::control {

using boost::asio::ip::udp;

namespace {

CheckResult udp_failure(const boost::system::error_code& error) {
  // What a connected UDP socket makes of ICMP port unreachable.
  if (error.value() == ECONNREFUSED)
    return CheckResult::bad("port unreachable (ICMP): nothing listens there", CheckResult::Failure::kNetwork);
  return socket_failure(error);
}

}  // namespace

CheckResult UdpCheck::timed_out(std::chrono::milliseconds limit) const {
  if (target_.check.udp_expected.empty()) return CheckResult::good_silence();
  CheckResult result = Check::timed_out(limit);
  if (target_.vip) result.error += " through the tunnel: " + tunnel_->advice(target_);
  return result;
}

void UdpCheck::begin() {
  udp::endpoint endpoint(asio_address(target_.checked_address()), target_.port);
  boost::system::error_code error;
  socket_.open(endpoint.protocol(), error);
  if (!error && target_.vip) {
    const auto way = tunnel_->lead(socket_.native_handle(), Protocol::kUdp, target_);
    if (!way) {
      finish(way.error());
      return;
    }
    endpoint.address(asio_address(way->address, way->scope));
  }
  if (!error) socket_.connect(endpoint, error);
  if (!error) socket_.non_blocking(true, error);
  if (!error) report_all_icmp_errors(socket_.native_handle(), target_.checked_address().family());
  if (!error) socket_.send(boost::asio::buffer(target_.check.udp_payload), 0, error);
  if (error) {
    finish(udp_failure(error));
    return;
  }
  socket_.async_receive(
      boost::asio::buffer(answer_),
      [this, self = shared_from_this()](const boost::system::error_code& failure, size_t bytes) {
        if (ended()) return;
        if (failure) {
          finish(udp_failure(failure));
        } else {
          on_answer({answer_.data(), bytes});
        }
      });
}

void UdpCheck::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

void UdpCheck::on_answer(std::string_view answer) {
  const std::string& expected = target_.check.udp_expected;
  if (answer.starts_with(expected)) {
    finish(CheckResult::good());
  } else {
    finish(CheckResult::bad(fmt::format("answer does not begin with '{}', it begins with '{}'",
                                        printable(expected, 60), printable(answer, 60))));
  }
}

}  // namespace sluice::control
