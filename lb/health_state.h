// From single checks to "healthy" or "unhealthy": counts in a row, and damping of what flaps. Time is a
// parameter; who runs the checks is control/health.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>

#include "lb/health_check.h"

namespace sluice {

using HealthTime = std::chrono::steady_clock::time_point;

/// What a check says of a backend that leaves, or may.
enum class LeavingSign : uint8_t {
  kSaid,     ///< it has answered that it leaves
  kNone,     ///< nothing new: a good answer, or its host refuses connections, as when the server has gone
  kSilence,  ///< nobody is there
  kOther,    ///< something is wrong with it
};

/// The state of one backend. A new backend is healthy until checks say otherwise if `trusted`, else it must
/// first pass one check (not `rise`: a start of the whole site should not take longer than it must).
class HealthState {
 public:
  explicit HealthState(bool trusted) : healthy_(trusted), settled_(trusted) {}

  /// Takes in the result of one check that ended at `now`. True if healthy() changed. `decisive`: one that is
  /// bad makes unhealthy at once, without check.fall.
  bool on_check(bool good, HealthTime now, const HealthCheck& check, const PoolPolicy& policy,
                bool decisive = false);

  /// Traffic shows at `now` that the backend is in trouble, whatever its checks say: it is unhealthy at once
  /// and for at least `hold`. True if healthy() changed.
  bool on_passive_failure(HealthTime now, std::chrono::nanoseconds hold, const PoolPolicy& policy);

  /// After on_check() or on_passive_failure(), with what was found. True if leaving() changed.
  bool on_leaving(LeavingSign sign, const HealthCheck& check);

  bool healthy() const { return healthy_; }
  /// It is unhealthy because it has said that it leaves. That lasts until it is healthy again, has another
  /// failure, or was silent for check.fall checks in a row: as long as its host is there its flows have a
  /// better end there than anywhere else.
  bool leaving() const { return leaving_; }
  /// At least one check has ended.
  bool settled() const { return settled_; }
  /// The last results contradict the state: it may change soon, so check more often.
  bool in_doubt() const { return streak_ > 0; }
  /// Flap damping, or what traffic has shown, keeps a backend unhealthy whose checks are good, until then.
  HealthTime held_until() const { return held_until_; }

 private:
  void fall(HealthTime now, const PoolPolicy& policy);

  bool healthy_;
  bool settled_;
  bool leaving_ = false;
  uint32_t silences_ = 0;  ///< checks in a row that met nobody
  uint32_t streak_ = 0;    ///< checks in a row against the present state
  std::deque<HealthTime> falls_;
  HealthTime held_until_{};
};

}  // namespace sluice
