// Good if a TCP connection is accepted.
#pragma once

#include "control/health/stream_check.h"

namespace sluice::control {

class TcpCheck final : public StreamCheck {
 public:
  TcpCheck(const CheckContext& context, const HealthTarget& target) : StreamCheck(context, target) {}

 private:
  void on_connected() override { finish(CheckResult::good()); }
};

}  // namespace sluice::control
