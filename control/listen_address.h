// An address and a TCP port to listen on.
#pragma once

#include <cstdint>

#include "lb/address.h"

namespace sluice {

struct ListenAddress {
  IpAddress address;
  uint16_t port = 0;
  friend bool operator==(const ListenAddress&, const ListenAddress&) = default;
};

}  // namespace sluice
