// Our addresses as Asio's.
#pragma once

#include <boost/asio/ip/address.hpp>

#include "lb/address.h"

namespace sluice::control {

/// `scope`: the interface of a link-local IPv6 address.
inline boost::asio::ip::address asio_address(const IpAddress& address, uint32_t scope = 0) {
  if (address.is_v6()) return boost::asio::ip::address_v6(address.bytes(), scope);
  const uint8_t* bytes = address.v4_bytes();
  return boost::asio::ip::address_v4({bytes[0], bytes[1], bytes[2], bytes[3]});
}

}  // namespace sluice::control
