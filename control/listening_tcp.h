// A listening TCP socket.
#pragma once

#include <cstdint>

#include "lb/address.h"
#include "lb/result.h"

namespace sluice {

/// A non-blocking descriptor that the caller owns. Port 0: one that the kernel chooses. Errors, in words: in
/// use, no such address on this host, no permission.
Result<int> listen_tcp(const IpAddress& address, uint16_t port);

}  // namespace sluice
