// The endpoints of a cluster at one moment, with everything prepared that a pick needs: which priority levels
// and zones get which share of the requests, and the tables to draw from. Immutable; built on the control
// thread whenever configuration, discovery, health or ejection changes, swapped whole, shared by all workers.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "lb/l7/alias_table.h"
#include "lb/l7/endpoint.h"
#include "lb/l7/hash_ring.h"
#include "lb/l7/pick_settings.h"
#include "lb/result.h"

namespace sluice {

/// What a pick reads of an endpoint.
struct PickEndpoint {
  EndpointState* state;
  PickTime since;  ///< when it appeared or came back; kAlways if it was there from the first
  uint32_t weight;
};
static_assert(sizeof(PickEndpoint) == 24);
inline constexpr PickTime kAlways = PickTime::min();

/// Endpoints that a pick chooses among: those of one level, or of one zone of a level.
struct PickGroup {
  std::vector<uint32_t> members;  ///< indices of endpoints, in the order of their identities; never empty
  AliasTable by_weight;           ///< draws an index into `members`
  double mean_weight = 1;
  std::shared_ptr<const HashRing> ring;                 ///< ring hash; its members are indices into `members`
  std::shared_ptr<const std::vector<uint16_t>> maglev;  ///< Maglev; likewise
  /// Maglev without the endpoints in slow start: who owned a slot before them. Null if there are none, or
  /// only such.
  std::shared_ptr<const std::vector<uint16_t>> maglev_before;
};

/// A group, and the requests it gets: those with a number below `up_to` of 2^32 and not below the one before
/// it.
struct GroupShare {
  uint64_t up_to;
  uint32_t group;
};

struct PickLevel {
  uint32_t priority = 0;
  double share = 0;
  bool panic = false;
  uint64_t up_to = 0;             ///< as GroupShare::up_to, for the level
  std::vector<GroupShare> zones;  ///< its groups; empty if the level can take no requests
};

class EndpointSet {
 public:
  using Pointer = std::shared_ptr<const EndpointSet>;

  /// `previous` is the set that this one replaces, or nullptr for a cluster's first: endpoints that stay keep
  /// their counters and slots, and slow start begins for those that were not available there. Errors:
  /// check_pick_settings(); an identity listed twice; a weight or priority out of range; more than
  /// kMaxMaglevEntries endpoints, or for Maglev more than slots.
  static Result<Pointer> build(PickSettings settings, std::vector<Endpoint> endpoints,
                               const EndpointSet* previous, PickTime now, uint32_t workers = 1);

  const PickSettings& settings() const { return settings_; }
  /// In the order of their identities.
  std::span<const Endpoint> endpoints() const { return endpoints_; }
  std::optional<uint32_t> find(const EndpointId& id) const;
  /// The counters of an endpoint, for who has a request open there when the set is long replaced.
  const std::shared_ptr<EndpointState>& state(uint32_t endpoint) const { return states_[endpoint]; }
  /// Slots of states are below this.
  uint32_t slots() const { return slots_; }

  std::span<const PickEndpoint> hot() const { return hot_; }
  std::span<const PickLevel> levels() const { return levels_; }
  std::span<const PickGroup> groups() const { return groups_; }
  /// When the last slow start is over: a pick after it need not look.
  PickTime slow_until() const { return slow_until_; }

 private:
  explicit EndpointSet(PickSettings settings) : settings_(std::move(settings)) {}
  Result<void> take_in(std::vector<Endpoint> endpoints);
  void adopt_states(const EndpointSet* previous, PickTime now, uint32_t workers);
  Result<void> build_levels(const EndpointSet* previous, PickTime now);
  Result<void> build_groups(PickLevel& level, const EndpointSet* previous, PickTime now);
  Result<uint32_t> add_group(std::vector<uint32_t> members, const EndpointSet* previous, PickTime now);
  Result<void> add_tables(PickGroup& group, const EndpointSet* previous, PickTime now) const;
  Result<std::shared_ptr<const std::vector<uint16_t>>> maglev_of(std::span<const uint32_t> places,
                                                                 const PickGroup& group) const;
  const PickGroup* same_group(const PickGroup& group, const EndpointSet* previous) const;

  PickSettings settings_;
  std::vector<Endpoint> endpoints_;
  std::vector<std::shared_ptr<EndpointState>> states_;
  std::vector<PickEndpoint> hot_;
  std::vector<PickLevel> levels_;
  std::vector<PickGroup> groups_;
  uint32_t slots_ = 0;
  PickTime slow_until_ = kAlways;
};

}  // namespace sluice
