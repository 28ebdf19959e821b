// How the requests of one priority level are shared between zones: at home as far as that is fair, the rest
// where there is room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sluice {

struct ZoneCapacity {
  uint64_t available = 0;  ///< weight of the available endpoints
  uint64_t total = 0;      ///< weight of all endpoints
  uint32_t proxies = 0;    ///< how many proxies are there; 0 in all zones: not known
};

/// Shares of `zones`, 0..1, of the requests of a proxy in zone number `local`; their sum is 1, or 0 if
/// nothing is available.
///
/// If it is known where the proxies are, each of them brings an equal part of the requests and each zone has
/// a fair part of the endpoints' weight. A proxy keeps all requests at home if its zone has at least as large
/// a part of the weight as of the proxies; else it keeps weight part / proxy part of them and gives the rest
/// to zones that have more weight than proxies, in proportion to how much more. Then every endpoint gets the
/// same as without zones.
///
/// If it is not known, home keeps min(1, overprovisioning * available / total) and the rest goes to the other
/// zones in proportion to their available weight.
std::vector<double> share_zones(std::span<const ZoneCapacity> zones, size_t local, double overprovisioning);

}  // namespace sluice
