// ICMP and ICMPv6 echo (RFC 792, RFC 4443).
#pragma once

#include <array>
#include <boost/asio/generic/datagram_protocol.hpp>
#include <cstdint>

#include "control/health/check.h"

namespace sluice::control {

/// Needs CAP_NET_RAW, or a group inside net.ipv4.ping_group_range.
class IcmpCheck final : public Check {
 public:
  IcmpCheck(boost::asio::io_context& io, const HealthTarget& target);

 private:
  static constexpr size_t kHeaderSize = 8;
  static constexpr size_t kTokenSize = 8;

  void begin() override;
  void close() override;
  std::string awaited() const override { return "echo reply"; }
  boost::system::error_code open();
  void receive();
  bool is_our_reply(size_t bytes) const;

  boost::asio::generic::datagram_protocol::socket socket_;
  const HealthTarget target_;
  /// In the payload of the request: of the two kinds of socket only one has an identifier of our own, and a
  /// raw one hears the replies to everybody else's requests.
  std::array<uint8_t, kTokenSize> token_;
  std::array<uint8_t, 256> answer_;
};

}  // namespace sluice::control
