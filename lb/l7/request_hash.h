// The number that stands for a request in hash policies: of a header's value, a cookie, the client's address,
// a path. Which of them is the route's business; several are chained.
#pragma once

#include <cstdint>
#include <string_view>

#include "lb/address.h"
#include "lb/l7/random.h"
#include "lb/siphash.h"

namespace sluice {

/// SipHash-1-3, keyed: who does not know the key cannot choose requests that meet on one endpoint.
inline uint64_t request_hash(const SipKey& key, std::string_view bytes) {
  return siphash<1, 3>(key, bytes);
}

/// Of an address, without its port: all connections of a client agree.
inline uint64_t request_hash(const SipKey& key, const IpAddress& address) {
  const auto* bytes = reinterpret_cast<const char*>(address.bytes().data());
  return address.is_v4() ? request_hash(key, std::string_view(bytes + 12, 4))
                         : request_hash(key, std::string_view(bytes, 16));
}

/// Of two hashes, in this order.
inline uint64_t chain_hashes(uint64_t first, uint64_t second) {
  return Random::mix(first * 31 + second);
}

}  // namespace sluice
