// Has the workers count the flows of each backend, and adds up what they say.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

#include "dataplane/l4/engine.h"
#include "lb/flow_table.h"

namespace sluice::control {

/// Lives on the control thread, which never waits here: a survey is asked for, and its outcome read later.
class FlowSurveys {
 public:
  /// `timeouts` gives the idle time-outs of backends by their number, as they are when a survey begins.
  /// `engine` outlives this object, and its workers run.
  FlowSurveys(boost::asio::io_context& io, const l4::Engine& engine,
              std::function<std::vector<FlowTick>()> timeouts);

  /// The number of a survey that begins now, or, if one is under way, after that. Surveys count from 1.
  uint64_t ask();

  /// The number of the last survey that has ended; 0: none.
  uint64_t counted() const { return counted_; }
  /// What ask() would return.
  uint64_t next() const { return running_ ? counted_ + 2 : counted_ + 1; }
  /// Since the end of the last survey; 0 if there was none.
  std::chrono::milliseconds age() const;
  /// Flows of a backend by the last survey, all workers.
  uint64_t flows_of(BackendId backend) const { return backend < flows_.size() ? flows_[backend] : 0; }

 private:
  void begin();
  void look();
  void take();

  const l4::Engine& engine_;
  const std::function<std::vector<FlowTick>()> timeouts_;
  boost::asio::steady_timer timer_;
  bool running_ = false;
  bool again_ = false;  ///< another one was asked for meanwhile
  uint64_t counted_ = 0;
  std::chrono::steady_clock::time_point counted_at_;
  std::vector<uint64_t> flows_;
};

}  // namespace sluice::control
