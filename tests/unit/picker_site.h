// Endpoints and settings for tests of who is picked.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "lb/l7/picker.h"

namespace sluice::test {

inline const PickTime kStart{std::chrono::seconds(1000)};
inline const std::vector<PickPolicy> kAllPolicies = {
    PickPolicy::kRoundRobin,   PickPolicy::kWeightedRoundRobin,
    PickPolicy::kLeastRequest, PickPolicy::kPeakEwma,
    PickPolicy::kRandom,       PickPolicy::kRingHash,
    PickPolicy::kMaglev};

inline PickSettings settings_of(PickPolicy policy) {
  PickSettings settings;
  settings.policy = policy;
  settings.ring_min = 1u << 14;
  settings.ring_max = 1u << 18;
  settings.maglev_size = 16411;
  settings.hash_key = cluster_key("picker test");
  return settings;
}

inline std::vector<Endpoint> endpoints_of(const std::vector<uint32_t>& weights) {
  std::vector<Endpoint> endpoints;
  for (size_t i = 0; i < weights.size(); ++i) {
    const EndpointId id{IpAddress::v4(10, 0, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)), 8080};
    endpoints.push_back({id, weights[i]});
  }
  return endpoints;
}

inline std::vector<Endpoint> equal_endpoints(size_t count) {
  return endpoints_of(std::vector<uint32_t>(count, 1));
}

}  // namespace sluice::test
