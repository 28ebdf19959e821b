// Picks the endpoint of each request. One Picker per worker and cluster: it keeps what a worker remembers
// (turns, answer times); the set and the counters are shared. A pick allocates nothing, takes no lock and
// reads no clock.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "lb/l7/endpoint_set.h"
#include "lb/l7/peak_ewma.h"
#include "lb/l7/random.h"
#include "lb/l7/weighted_turns.h"

namespace sluice {

/// A retry names at most so many endpoints that it does not want; more are not looked at.
inline constexpr size_t kMaxExcluded = 16;

struct PickRequest {
  std::optional<uint64_t> hash;  ///< for hash policies (request_hash.h); without one, any endpoint
  /// Endpoints that are not wanted, because they were tried before.
  std::span<const EndpointState* const> excluded;
};

class Picker {
 public:
  /// Picks from `set` from now on. What is known of endpoints that stay is kept: their place in the turns,
  /// their answer times. Allocates; called when the set changes. `random` decides where turns begin, so that
  /// workers do not all begin with the same endpoint.
  void use(EndpointSet::Pointer set, PickTime now, Random& random);
  const EndpointSet::Pointer& set() const { return set_; }

  /// The index of an endpoint in the set in use, or nothing: no endpoint can take a request, or all that can
  /// are excluded. If the level and zone whose turn it is have none that is not excluded, others are asked,
  /// the preferred levels first. Not before use().
  std::optional<uint32_t> pick(const PickRequest& request, PickTime now, Random& random);

  /// Peak EWMA: an answer of this endpoint, whether or not it is still in the set, took `latency`. `failed`:
  /// it is no answer worth the name. Other policies need not be told.
  void observe(const EndpointState& endpoint, std::chrono::nanoseconds latency, bool failed, PickTime now);

 private:
  // What this worker remembers of an endpoint, by slot.
  struct Memory {
    const EndpointState* owner = nullptr;
    PeakEwma latency;
    double wait = -1;  // part of its interval until its turn, while turns are set up anew; below 0: unknown
  };
  // A pick in progress: all that its steps need to know.
  struct Context {
    const PickRequest& request;
    PickTime now;
    Random& random;
    bool slow;  // some endpoint may be in slow start
    uint64_t hash;
  };

  std::optional<uint32_t> pick_in(uint32_t group, const Context& context);
  std::optional<uint32_t> next_turn(uint32_t group, const Context& context);
  std::optional<uint32_t> draw(const PickGroup& group, const Context& context) const;
  std::optional<uint32_t> best_of_some(const PickGroup& group, const Context& context) const;
  std::optional<uint32_t> on_ring(const PickGroup& group, const Context& context) const;
  std::optional<uint32_t> in_table(const PickGroup& group, const Context& context) const;
  bool better(uint32_t challenger, uint32_t best, const PickGroup& group, const Context& context) const;

  double weight_of(uint32_t endpoint, const Context& context) const;
  double factor_of(uint32_t endpoint, const Context& context) const;
  bool keeps_key(uint32_t endpoint, const Context& context) const;
  bool excluded(uint32_t endpoint, const Context& context) const;
  uint64_t turn_interval(uint32_t endpoint, PickTime now) const;
  void remember_turns();
  void set_up_turns(PickTime now, Random& random);

  EndpointSet::Pointer set_;
  std::vector<Memory> memory_;
  std::vector<WeightedTurns> turns_;  // per group; the turn policies only
};

}  // namespace sluice
