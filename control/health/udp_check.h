// UDP: a datagram is answered as expected, or, where nothing is expected, not refused.
#pragma once

#include <array>
#include <boost/asio/ip/udp.hpp>

#include "control/health/check.h"

namespace sluice::control {

class UdpCheck final : public Check {
 public:
  UdpCheck(const CheckContext& context, const HealthTarget& target)
      : socket_(context.io), target_(target), tunnel_(context.tunnel) {}

  /// Silence is good if no answer is expected: an ICMP error would have come by then.
  CheckResult timed_out(std::chrono::milliseconds limit) const override;

 private:
  void begin() override;
  void close() override;
  void on_answer(std::string_view answer);

  boost::asio::ip::udp::socket socket_;
  const HealthTarget target_;
  TunnelPath* const tunnel_;
  std::array<char, 2048> answer_;
};

}  // namespace sluice::control
