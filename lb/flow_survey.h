// Counts how many flows of a flow table each backend still has, without stopping the worker that owns it.
//
// Nobody but its worker may read a flow table, and a walk through 64 MiB in one go would hold packets up. So
// the control thread asks, the worker walks a few buckets between bursts, and hands the finished counts back.
// Either side owns the survey at a time, and `state_` says which: nothing else is shared, and a worker that
// was not asked pays one load and one branch per round.
//
// The counts are no snapshot: a flow that comes or goes during the walk may be in them or not. A flow has its
// place in the table for good, so none is counted twice.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

#include "lb/flow_table.h"

namespace sluice {

/// Between one asking thread and one walking thread.
class FlowSurvey {
 public:
  FlowSurvey() = default;
  FlowSurvey(const FlowSurvey&) = delete;
  FlowSurvey& operator=(const FlowSurvey&) = delete;

  /// The asker's: begins anew. `timeouts` has the idle time-out in ticks of each backend, by BackendId; an
  /// entry that is older, or of a backend beyond its end, does not count. False, and nothing is changed,
  /// while an earlier survey is under way.
  bool start(std::vector<FlowTick> timeouts) {
    if (running()) return false;
    timeouts_ = std::move(timeouts);
    flows_.assign(timeouts_.size(), 0);
    next_bucket_ = 0;
    state_.store(State::kRunning, std::memory_order_release);
    return true;
  }

  /// The asker's: whether flows() is there to be read.
  bool done() const { return state_.load(std::memory_order_acquire) == State::kDone; }
  /// The asker's, while done(): flows by BackendId, as many as start() got time-outs.
  const std::vector<uint32_t>& flows() const { return flows_; }

  /// Whether the walker is asked to advance().
  [[gnu::always_inline]] bool running() const {
    return state_.load(std::memory_order_acquire) == State::kRunning;
  }
  /// The walker's, while running(): nothing was walked yet.
  bool at_start() const { return next_bucket_ == 0; }
  /// The walker's, while running(): counts the next `buckets` buckets of `table`, always the same one. After
  /// the last one the survey is done.
  void advance(const FlowTable& table, uint32_t buckets, FlowTick now) {
    const uint32_t end = next_bucket_ + std::min(buckets, table.bucket_count() - next_bucket_);
    table.visit(next_bucket_, end, now, [this](BackendId backend, FlowTick idle) {
      if (backend < timeouts_.size() && idle <= timeouts_[backend]) ++flows_[backend];
    });
    next_bucket_ = end;
    if (end == table.bucket_count()) state_.store(State::kDone, std::memory_order_release);
  }

 private:
  enum class State : uint8_t { kNone, kRunning, kDone };

  std::atomic<State> state_{State::kNone};
  uint32_t next_bucket_ = 0;
  std::vector<FlowTick> timeouts_;
  std::vector<uint32_t> flows_;
};

}  // namespace sluice
