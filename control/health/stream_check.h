// A check that begins with a TCP connection.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <string>

#include "control/health/check.h"

namespace sluice::control {

class StreamCheck : public Check {
 public:
  CheckResult timed_out(std::chrono::milliseconds limit) const override;

 protected:
  StreamCheck(const CheckContext& context, const HealthTarget& target)
      : socket_(context.io), target_(target), tunnel_(context.tunnel) {}

  void begin() final;
  void close() override;
  std::string awaited() const override { return awaited_; }
  /// The socket is connected.
  virtual void on_connected() = 0;

  /// "192.0.2.1:80", "[2001:db8::1]:80": for Host and :authority where the operator names none.
  std::string authority() const;

  boost::asio::ip::tcp::socket socket_;
  const HealthTarget target_;
  std::string awaited_ = "connection";

 private:
  TunnelPath* const tunnel_;
  bool connected_ = false;
};

}  // namespace sluice::control
