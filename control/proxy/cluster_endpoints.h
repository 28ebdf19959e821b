// The endpoints of a cluster, from whichever source, and where each is checked.
#pragma once

#include <cstdint>
#include <vector>

#include "lb/l7/endpoint.h"

namespace sluice {

struct ClusterEndpoints {
  std::vector<Endpoint> endpoints;
  std::vector<uint16_t> check_ports;  ///< of each
  friend bool operator==(const ClusterEndpoints&, const ClusterEndpoints&) = default;
};

}  // namespace sluice
