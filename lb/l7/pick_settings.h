// How a cluster picks endpoints: settings only.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "lb/maglev.h"
#include "lb/result.h"

namespace sluice {

enum class PickPolicy : uint8_t {
  kRoundRobin,          ///< each in turn, whatever the weights
  kWeightedRoundRobin,  ///< turns in proportion to weights, spread evenly
  kLeastRequest,        ///< the less loaded of a few drawn at random
  kPeakEwma,            ///< the one of a few that is likely to answer first
  kRandom,              ///< drawn in proportion to weights
  kRingHash,            ///< by a hash of the request: consistent hashing on a ring
  kMaglev,              ///< by a hash of the request: Maglev table
};

constexpr bool is_hash_policy(PickPolicy policy) {
  return policy == PickPolicy::kRingHash || policy == PickPolicy::kMaglev;
}

/// An endpoint that appears or comes back starts with a part of its weight, which grows over a window.
struct SlowStart {
  std::chrono::milliseconds window{0};  ///< 0: off
  double aggression = 1.0;              ///< above 0; 1: in a straight line, larger: faster at first
  double min_weight_percent = 10.0;     ///< 1..100: where it starts
  friend bool operator==(const SlowStart&, const SlowStart&) = default;
};

/// Prefer endpoints in the proxy's own zone.
struct ZonePreference {
  std::string local_zone;  ///< where this proxy is; "": no preference
  /// How many proxies are in each zone. If given, each zone's endpoints get their share of all requests even
  /// when the proxies are spread unevenly; if empty, this proxy only looks at how much of its own zone is
  /// available.
  std::map<std::string, uint32_t> proxies;
  uint32_t min_endpoints = 6;  ///< with fewer available ones in all, no preference
  friend bool operator==(const ZonePreference&, const ZonePreference&) = default;
};

inline constexpr uint32_t kMaxChoices = 16;
inline constexpr uint32_t kMaxRingSize = 1u << 23;

struct PickSettings {
  PickPolicy policy = PickPolicy::kLeastRequest;
  SlowStart slow_start;
  ZonePreference zones;          ///< not for hash policies: a key would depend on who asks
  uint32_t choices = 2;          ///< least request and peak EWMA: 2..kMaxChoices
  uint32_t ring_min = 1024;      ///< points on the ring at least; each endpoint of the least weight has one
  uint32_t ring_max = 1u << 16;  ///< and at most; ring_min..kMaxRingSize
  uint32_t maglev_size = 65537;  ///< a prime; see lb/maglev.h
  SipKey hash_key;               ///< of rings and tables: the same on all proxies that must agree
  std::chrono::nanoseconds ewma_decay{std::chrono::seconds(10)};  ///< how long a bad answer is remembered
  double overprovisioning = 1.4;  ///< at least 1: how much more than its share an endpoint can carry
  uint32_t panic_percent = 50;    ///< 0..100: below this share of available ones, all are used; 0: never
  friend bool operator==(const PickSettings&, const PickSettings&) = default;
};

/// The error names the setting, what was found and what is accepted.
Result<void> check_pick_settings(const PickSettings& settings);

}  // namespace sluice
