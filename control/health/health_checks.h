// Checks backends again and again, and knows which are healthy. What a check does is check.h and its kinds;
// what its result means is lb/health_state.h; what a pool makes of it is lb/pool_health.h.
//
// Thousands of backends are checked by one thread: one timer serves all of them, and nothing blocks. First
// checks are spread over up to an interval, and so are the second ones, so that neither a start nor a big
// change of configuration makes a wave that comes back every interval. A stall of this thread is not held
// against backends: answers that wait in their sockets are read before time-outs count.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "control/health/check.h"
#include "control/health/due_times.h"
#include "control/health/health_target.h"
#include "control/health/tls_contexts.h"
#include "lb/health_state.h"

namespace sluice::control {

/// One check that has ended, good or bad, and what followed.
struct CheckedEvent {
  const HealthTarget& target;
  const BackendHealth& health;  ///< with this check taken in
  const CheckResult& result;
  bool changed;  ///< health.healthy is another than before
  bool first;    ///< no check of this target had ended before
};

/// Lives on one thread: the one that runs `io`.
class HealthChecks {
 public:
  /// `on_change` is called, from the io_context, when find() says something else of healthy, leaving or
  /// settled for any target; changes within 100 ms are one call. Not called for what set_targets() does.
  HealthChecks(boost::asio::io_context& io, std::function<void()> on_change);
  /// Running checks end without a result.
  ~HealthChecks();
  HealthChecks(const HealthChecks&) = delete;
  HealthChecks& operator=(const HealthChecks&) = delete;

  /// The way for targets with a VIP: there before the first of them, and longer than this object.
  void set_tunnel(TunnelPath* tunnel) { context_.tunnel = tunnel; }

  /// `observe` is called for each check that ends with a result, from the io_context; it must not call back.
  void set_observer(std::function<void(const CheckedEvent&)> observe) { observe_ = std::move(observe); }

  /// Checks exactly these from now on. A target that was there before, by pool and address, keeps its state;
  /// if its settings have changed it is checked anew soon. A new one is unhealthy until its first check is
  /// good, unless it is trusted or of kind kNone, which is healthy for good. Of two with the same pool and
  /// address the later counts.
  void set_targets(const std::vector<HealthTarget>& targets);

  /// nullptr: no such target. Valid until set_targets().
  const BackendHealth* find(std::string_view pool, const IpAddress& address) const;
  size_t targets() const { return count_; }
  /// Every target has settled.
  bool settled() const;

  /// Traffic shows that the backend is in trouble, in a line of words: it is unhealthy at once, and for
  /// `hold` its good checks do not help. For targets with check.passive; others and unknown ones are left
  /// alone.
  void report_passive_failure(std::string_view pool, const IpAddress& address, const std::string& what,
                              std::chrono::nanoseconds hold);

 private:
  struct Target {
    HealthTarget settings;
    HealthState state;
    BackendHealth health;
    std::shared_ptr<Check> running;
    HealthTime started{};
    bool spread_next = true;  ///< the next check comes at any time within an interval
    bool waits_for_turn = false;
    std::string passive_error;  ///< what traffic has shown, while that keeps it unhealthy
    bool late = false;          ///< its time was up while this thread was stalled
    uint64_t wanted_by = 0;     ///< the last set_targets() that named it
  };

  void add(const HealthTarget& settings, HealthTime first_check);
  void update(Target& target, uint32_t slot, const HealthTarget& settings, HealthTime next_check);
  void remove(uint32_t slot);

  void wait_for_due();
  void tick();
  void start(uint32_t slot);
  void start_next_external();
  void on_time_out(uint32_t slot, HealthTime deadline);
  void on_result(uint32_t slot, const CheckResult& result);
  void stop(Target& target);
  /// Takes in one result, good or bad.
  void count(Target& target, const CheckResult& result, HealthTime now);
  void plan(uint32_t slot, HealthTime now, std::chrono::nanoseconds delay);
  std::chrono::nanoseconds delay_to_next(Target& target);
  std::optional<uint32_t> slot_of(std::string_view pool, const IpAddress& address) const;

  void log_change(const Target& target);
  void log_not_run(const Target& target, const std::string& error, HealthTime now);
  void schedule_change();

  boost::asio::io_context& io_;
  const std::function<void()> on_change_;
  std::function<void(const CheckedEvent&)> observe_;
  TlsContexts tls_;
  CheckContext context_{io_, tls_};
  boost::asio::steady_timer due_timer_;
  std::optional<HealthTime> timer_set_for_;
  boost::asio::steady_timer change_timer_;
  bool change_scheduled_ = false;
  uint32_t logged_ = 0;  ///< changes since the last on_change call that the log has, and that it has not
  uint32_t unlogged_healthy_ = 0;
  uint32_t unlogged_unhealthy_ = 0;
  HealthTime not_run_logged_{};

  std::vector<std::unique_ptr<Target>> slots_;
  std::vector<uint32_t> free_slots_;
  std::map<std::string, std::unordered_map<IpAddress, uint32_t>, std::less<>> pools_;
  size_t count_ = 0;
  uint64_t generation_ = 0;
  DueTimes due_;  ///< of an idle target its next check, of one that is being checked the end of its time
  uint32_t external_running_ = 0;
  std::deque<uint32_t> external_waiting_;
  std::minstd_rand random_{std::random_device{}()};
  std::shared_ptr<const bool> alive_ = std::make_shared<bool>(true);  ///< timer handlers may outlive us
};

}  // namespace sluice::control
