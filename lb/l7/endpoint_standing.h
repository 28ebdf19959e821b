// Why an endpoint gets requests or does not, and how large its part is: for people, by the same set that
// picks are made from.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "lb/l7/endpoint_set.h"

namespace sluice {

enum class Standing : uint8_t {
  kServes,     ///< available, and requests go there
  kPanic,      ///< not available, but so few are that its level uses all of them
  kReserve,    ///< available, but others that are preferred (priority, zone) take all requests
  kUnused,     ///< its weight is 0
  kDraining,   ///< the operator's word
  kUnhealthy,  ///< the checks' word
  kEjected,    ///< the outlier detector's word
};

struct EndpointStanding {
  Standing standing = Standing::kServes;
  /// Of the requests that may go anywhere, 0..1: by level and zone, and in those by weight, or equal for
  /// round robin. Least request and peak EWMA deviate from it by load, slow start while it lasts.
  double share = 0;
};

/// Whether picks name it.
constexpr bool is_candidate(Standing standing) {
  return standing == Standing::kServes || standing == Standing::kPanic;
}

/// "serves", "ejected", ...
std::string_view standing_name(Standing standing);

/// Of each endpoint of the set, in its order.
std::vector<EndpointStanding> endpoint_standings(const EndpointSet& set);

}  // namespace sluice
