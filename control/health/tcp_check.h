// Good if a TCP connection is accepted.
#pragma once

#include "control/health/stream_check.h"

namespace sluice::control {

class TcpCheck final : public StreamCheck {
 public:
  TcpCheck(boost::asio::io_context& io, const HealthTarget& target) : StreamCheck(io, target) {}

 private:
  void on_connected() override { finish(CheckResult::good()); }
};

}  // namespace sluice::control
