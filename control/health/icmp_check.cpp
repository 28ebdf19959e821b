#include "control/health/icmp_check.h"

#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/icmp.hpp>
#include <cerrno>
#include <cstring>
#include <random>
#include <span>

#include "control/health/endpoint.h"
#include "control/health/icmp_errors.h"
#include "control/health/socket_error.h"

namespace sluice::control {

namespace {

/// RFC 1071, of an even number of bytes.
uint16_t internet_checksum(std::span<const uint8_t> bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) sum += uint32_t{bytes[i]} << 8 | bytes[i + 1];
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

boost::system::error_code last_error() {
  return {errno, boost::system::system_category()};
}

}  // namespace

IcmpCheck::IcmpCheck(boost::asio::io_context& io, const HealthTarget& target) : socket_(io), target_(target) {
  static std::mt19937_64 random{std::random_device{}()};
  const uint64_t token = random();
  std::memcpy(token_.data(), &token, token_.size());
}

boost::system::error_code IcmpCheck::open() {
  const bool v4 = target_.address.is_v4();
  const int family = v4 ? AF_INET : AF_INET6;
  const int protocol = v4 ? static_cast<int>(IPPROTO_ICMP) : static_cast<int>(IPPROTO_ICMPV6);
  // A ping socket gets nobody else's replies; whether it is allowed is a setting of the machine.
  int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
  if (fd < 0 && (errno == EACCES || errno == EPROTONOSUPPORT)) {
    fd = socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
    if (fd >= 0 && v4) {
      const uint32_t all_but_replies = ~(1u << ICMP_ECHOREPLY);
      setsockopt(fd, SOL_RAW, ICMP_FILTER, &all_but_replies, sizeof(all_but_replies));
    } else if (fd >= 0) {
      icmp6_filter filter;
      ICMP6_FILTER_SETBLOCKALL(&filter);
      ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
      setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof(filter));
    }
  }
  if (fd < 0) return last_error();
  boost::system::error_code error;
  socket_.assign({family, protocol}, fd, error);
  if (error) {
    ::close(fd);
    return error;
  }
  report_all_icmp_errors(fd, target_.address.family());
  socket_.connect(boost::asio::ip::icmp::endpoint(asio_address(target_.address), 0), error);
  return error;
}

void IcmpCheck::begin() {
  boost::system::error_code error = open();
  if (error.value() == EACCES || error.value() == EPERM) {
    finish(CheckResult::not_run("check not run: ICMP needs CAP_NET_RAW or net.ipv4.ping_group_range"));
    return;
  }
  std::array<uint8_t, kHeaderSize + kTokenSize> request{};
  request[0] =
      target_.address.is_v4() ? static_cast<uint8_t>(ICMP_ECHO) : static_cast<uint8_t>(ICMP6_ECHO_REQUEST);
  std::copy(token_.begin(), token_.begin() + 2, request.begin() + 4);  // identifier
  std::copy(token_.begin(), token_.end(), request.begin() + kHeaderSize);
  if (target_.address.is_v4()) {  // the kernel does it for ICMPv6
    const uint16_t checksum = internet_checksum(request);
    request[2] = static_cast<uint8_t>(checksum >> 8);
    request[3] = static_cast<uint8_t>(checksum);
  }
  if (!error) socket_.send(boost::asio::buffer(request), 0, error);
  if (error) {
    finish(socket_failure(error));
    return;
  }
  receive();
}

void IcmpCheck::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

void IcmpCheck::receive() {
  socket_.async_receive(
      boost::asio::buffer(answer_),
      [this, self = shared_from_this()](const boost::system::error_code& error, size_t bytes) {
        if (ended()) return;
        if (error) {
          finish(socket_failure(error));
        } else if (is_our_reply(bytes)) {
          finish(CheckResult::good());
        } else {
          receive();
        }
      });
}

bool IcmpCheck::is_our_reply(size_t bytes) const {
  std::span<const uint8_t> packet(answer_.data(), bytes);
  const bool v4 = target_.address.is_v4();
  // Raw IPv4 sockets, and only these, give the IP header too; its first byte is 0x45 or more, an echo reply's
  // is 0.
  if (v4 && !packet.empty() && packet[0] >> 4 == 4) {
    const size_t header = size_t{packet[0] & 0xfu} * 4;
    packet = packet.subspan(std::min(header, packet.size()));
  }
  if (packet.size() < kHeaderSize + kTokenSize) return false;
  const uint8_t reply = v4 ? static_cast<uint8_t>(ICMP_ECHOREPLY) : static_cast<uint8_t>(ICMP6_ECHO_REPLY);
  return packet[0] == reply && std::equal(token_.begin(), token_.end(), packet.begin() + kHeaderSize);
}

}  // namespace sluice::control
