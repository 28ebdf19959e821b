#include "control/health/socket_error.h"

#include <fmt/format.h>

#include <boost/asio/error.hpp>
#include <cerrno>

namespace sluice::control {

namespace {

bool is_own_fault(int error) {
  return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS ||
         error == EADDRNOTAVAIL || error == EAGAIN || error == EADDRINUSE;
}

/// Of the host itself: there is no server, or it has closed the connection.
bool is_hosts_word(const boost::system::error_code& error) {
  return error == boost::asio::error::eof || error == boost::asio::error::connection_refused ||
         error == boost::asio::error::connection_reset || error == boost::asio::error::broken_pipe;
}

std::string words(const boost::system::error_code& error) {
  if (error == boost::asio::error::eof) return "connection closed";
  switch (error.value()) {
    case ECONNREFUSED:
      return "connection refused";
    case ECONNRESET:
    case EPIPE:
      return "connection reset";
    case EHOSTUNREACH:
      return "host unreachable: no route, or no answer to ARP or neighbour discovery";
    case ENETUNREACH:
      return "network unreachable: no route";
    case ETIMEDOUT:
      return "connection timed out";
    default:
      return printable(error.message());
  }
}

}  // namespace

CheckResult socket_failure(const boost::system::error_code& error, std::string_view when) {
  if (error.category() == boost::system::system_category() && is_own_fault(error.value())) {
    return CheckResult::not_run(fmt::format("check not run: {}", error.message()));
  }
  auto result = CheckResult::bad(when.empty() ? words(error) : fmt::format("{} {}", words(error), when),
                                 CheckResult::Failure::kNetwork);
  result.there = is_hosts_word(error);
  return result;
}

}  // namespace sluice::control
