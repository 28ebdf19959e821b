// The rate limit of a route: one bucket for all its requests, or one per value of a key.
//
// Keys have no table of their own that an attacker could fill or that would need a lock: a key's hash names
// one of many buckets. Two keys share one with a probability of one in kBuckets, and are then limited
// together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

#include "lb/l7/token_bucket.h"

namespace sluice {

class RateLimiter {
 public:
  static constexpr size_t kBuckets = 1u << 14;

  RateLimiter(const RateLimit& limit, bool keyed) {
    for (size_t i = 0; i < (keyed ? kBuckets : 1); ++i) buckets_.emplace_back(limit);
  }

  /// Takes a token for a key's hash (any number without keys) if there is one. Any worker.
  bool try_take(uint64_t key_hash, TokenBucket::Time now) {
    return buckets_[key_hash % buckets_.size()].try_take(now);
  }

 private:
  std::deque<TokenBucket> buckets_;  // they cannot be moved
};

}  // namespace sluice
