#include "control/health/health_checks.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "control/log_line.h"

namespace sluice::control {

using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;

namespace {

constexpr milliseconds kCoalesce{100};
/// What is due within so long is done in one go, so that the timer is not set anew for every check.
constexpr milliseconds kTick{5};
/// After a stall the other tasks of this thread get their turn between so many.
constexpr uint32_t kMaxPerTick = 256;
/// Time for first checks: so much for each new target, within these bounds.
constexpr milliseconds kFirstChecksMin{100};
constexpr milliseconds kPerFirstCheck{1};
/// Between the end of a check that took longer than the interval and the next.
constexpr milliseconds kMinPause{10};
/// A deadline that is seen so much too late was missed by this thread; answers get this much more.
constexpr milliseconds kStall{50};
/// Programs that run side by side.
constexpr uint32_t kMaxExternal = 32;
constexpr uint32_t kMaxLoggedChanges = 20;
constexpr std::chrono::seconds kNotRunLogInterval{10};

bool is_checked(const HealthTarget& target) {
  return target.check.kind != HealthCheckKind::kNone;
}

bool is_external(const HealthTarget& target) {
  return target.check.kind == HealthCheckKind::kExternal;
}

/// What a result says of a backend that leaves, or may.
LeavingSign leaving_sign(const CheckResult& result) {
  if (result.leaving) return LeavingSign::kSaid;
  if (result.verdict == CheckResult::Verdict::kGood || result.there) return LeavingSign::kNone;
  return result.failure == CheckResult::Failure::kAnswer ? LeavingSign::kOther : LeavingSign::kSilence;
}

/// Between the first checks of `count` targets that have come together.
nanoseconds first_check_step(size_t count, milliseconds interval) {
  const auto window = std::clamp(kPerFirstCheck * static_cast<int64_t>(count), kFirstChecksMin,
                                 std::max(interval, kFirstChecksMin));
  return nanoseconds(window) / static_cast<int64_t>(std::max<size_t>(count, 1));
}

}  // namespace

HealthChecks::HealthChecks(boost::asio::io_context& io, std::function<void()> on_change)
    : io_(io), on_change_(std::move(on_change)), due_timer_(io), change_timer_(io) {}

HealthChecks::~HealthChecks() {
  for (const auto& target : slots_) {
    if (target != nullptr && target->running != nullptr) target->running->cancel();
  }
}

void HealthChecks::set_targets(const std::vector<HealthTarget>& targets) {
  ++generation_;
  const auto now = steady_clock::now();
  size_t news = 0;
  for (const HealthTarget& target : targets) {
    const auto slot = slot_of(target.pool, target.address);
    news += !slot || slots_[*slot]->settings != target ? 1 : 0;
  }
  int64_t place = 0;
  for (const HealthTarget& target : targets) {
    const auto first_check = now + first_check_step(news, target.check.interval) * place;
    const auto slot = slot_of(target.pool, target.address);
    if (!slot) {
      add(target, first_check);
      ++place;
    } else if (slots_[*slot]->settings != target) {
      update(*slots_[*slot], *slot, target, first_check);
      ++place;
    }
    slots_[*slot_of(target.pool, target.address)]->wanted_by = generation_;
  }
  for (uint32_t slot = 0; slot < slots_.size(); ++slot) {
    if (slots_[slot] != nullptr && slots_[slot]->wanted_by != generation_) remove(slot);
  }
  start_next_external();
  wait_for_due();
}

void HealthChecks::add(const HealthTarget& settings, HealthTime first_check) {
  uint32_t slot = 0;
  if (free_slots_.empty()) {
    slot = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  const HealthState state(settings.trusted || !is_checked(settings));
  slots_[slot] = std::make_unique<Target>(Target{.settings = settings, .state = state});
  Target& target = *slots_[slot];
  target.health.healthy = state.healthy();
  target.health.settled = state.settled();
  target.health.since = system_clock::now();
  pools_[settings.pool][settings.address] = slot;
  ++count_;
  if (is_checked(settings)) plan(slot, steady_clock::now(), first_check - steady_clock::now());
}

void HealthChecks::update(Target& target, uint32_t slot, const HealthTarget& settings,
                          HealthTime next_check) {
  stop(target);
  if (target.waits_for_turn) {
    std::erase(external_waiting_, slot);
    target.waits_for_turn = false;
  }
  due_.erase(slot);
  if (!is_checked(settings) && !target.state.healthy()) {
    target.state = HealthState(true);
    target.health.healthy = true;
    target.health.since = system_clock::now();
  }
  if (!is_checked(settings)) {
    target.health.settled = true;
    target.health.held = false;
    target.health.leaving = false;
    target.health.last_error.clear();
    target.health.next_check = {};
  }
  target.settings = settings;
  if (is_checked(settings)) plan(slot, steady_clock::now(), next_check - steady_clock::now());
}

void HealthChecks::remove(uint32_t slot) {
  Target& target = *slots_[slot];
  stop(target);
  if (target.waits_for_turn) std::erase(external_waiting_, slot);
  due_.erase(slot);
  const auto pool = pools_.find(target.settings.pool);
  pool->second.erase(target.settings.address);
  if (pool->second.empty()) pools_.erase(pool);
  slots_[slot].reset();
  free_slots_.push_back(slot);
  --count_;
}

const BackendHealth* HealthChecks::find(std::string_view pool, const IpAddress& address) const {
  const auto slot = slot_of(pool, address);
  return slot ? &slots_[*slot]->health : nullptr;
}

std::optional<uint32_t> HealthChecks::slot_of(std::string_view pool, const IpAddress& address) const {
  const auto backends = pools_.find(pool);
  if (backends == pools_.end()) return std::nullopt;
  const auto found = backends->second.find(address);
  return found == backends->second.end() ? std::nullopt : std::optional(found->second);
}

bool HealthChecks::settled() const {
  return std::all_of(slots_.begin(), slots_.end(),
                     [](const auto& target) { return target == nullptr || target->health.settled; });
}

void HealthChecks::report_passive_failure(std::string_view pool, const IpAddress& address,
                                          const std::string& what, nanoseconds hold) {
  const auto slot = slot_of(pool, address);
  if (!slot || !slots_[*slot]->settings.check.passive || !is_checked(slots_[*slot]->settings)) return;
  Target& target = *slots_[*slot];
  const auto now = steady_clock::now();
  const bool changed = target.state.on_passive_failure(now, hold, target.settings.policy);
  const bool first = !std::exchange(target.health.settled, true);
  const bool no_longer_leaves = target.state.on_leaving(LeavingSign::kOther, target.settings.check);
  target.health.leaving = false;
  target.passive_error = what;
  target.health.healthy = false;
  target.health.last_error = what;
  if (changed) target.health.since = system_clock::now();
  if (changed || first || no_longer_leaves) {
    log_change(target);
    schedule_change();
  }
  // One that is being checked is planned when that ends.
  if (target.running == nullptr && !target.waits_for_turn) {
    plan(*slot, now, std::min(target.settings.check.fast_interval, target.settings.check.interval));
    wait_for_due();
  }
}

void HealthChecks::wait_for_due() {
  const auto next = due_.next();
  if (!next) return;
  const auto at = std::max(*next, steady_clock::now() + kTick);
  if (timer_set_for_ && *timer_set_for_ <= at) return;
  timer_set_for_ = at;
  due_timer_.expires_at(at);
  due_timer_.async_wait([this, alive = std::weak_ptr(alive_)](const boost::system::error_code& error) {
    if (!error && !alive.expired()) tick();
  });
}

void HealthChecks::tick() {
  timer_set_for_.reset();
  const auto now = steady_clock::now();
  for (uint32_t i = 0; i < kMaxPerTick; ++i) {
    const auto due = due_.take(now);
    if (!due) break;
    if (slots_[due->second]->running != nullptr) {
      on_time_out(due->second, due->first);
    } else {
      start(due->second);
    }
  }
  wait_for_due();
}

void HealthChecks::start(uint32_t slot) {
  Target& target = *slots_[slot];
  if (is_external(target.settings)) {
    if (external_running_ >= kMaxExternal) {
      target.waits_for_turn = true;
      external_waiting_.push_back(slot);
      return;
    }
    ++external_running_;
  }
  const auto check = make_check(context_, target.settings);
  target.running = check;
  target.started = steady_clock::now();
  target.late = false;
  due_.set(slot, target.started + target.settings.check.timeout);
  check->start([this, slot](const CheckResult& result) { on_result(slot, result); });
}

void HealthChecks::start_next_external() {
  while (external_running_ < kMaxExternal && !external_waiting_.empty()) {
    const uint32_t slot = external_waiting_.front();
    external_waiting_.pop_front();
    slots_[slot]->waits_for_turn = false;
    start(slot);
  }
}

void HealthChecks::stop(Target& target) {
  if (target.running == nullptr) return;
  target.running->cancel();
  target.running.reset();
  if (is_external(target.settings)) --external_running_;
}

void HealthChecks::on_time_out(uint32_t slot, HealthTime deadline) {
  Target& target = *slots_[slot];
  const auto now = steady_clock::now();
  if (now - deadline > kStall && !target.late) {
    target.late = true;
    due_.set(slot, now + kStall);
    return;
  }
  on_result(slot, target.running->timed_out(target.settings.check.timeout));
}

void HealthChecks::on_result(uint32_t slot, const CheckResult& result) {
  Target& target = *slots_[slot];
  const auto now = steady_clock::now();
  stop(target);
  if (result.verdict == CheckResult::Verdict::kNotRun) {
    target.health.last_error = result.error;
    log_not_run(target, result.error, now);
    plan(slot, now, target.settings.check.fast_interval);
  } else {
    if (result.verdict == CheckResult::Verdict::kGood) {
      target.health.latency =
          result.answered ? duration_cast<microseconds>(now - target.started) : microseconds(0);
    }
    count(target, result, now);
    plan(slot, now, std::max<nanoseconds>(target.started + delay_to_next(target) - now, kMinPause));
  }
  start_next_external();
  wait_for_due();
}

void HealthChecks::count(Target& target, const CheckResult& result, HealthTime now) {
  const bool good = result.verdict == CheckResult::Verdict::kGood;
  const HealthTarget& settings = target.settings;
  BackendHealth& health = target.health;
  ++health.checks;
  health.failures += good ? 0 : 1;
  health.last_error = result.error;
  health.last_check = system_clock::now();
  const bool decisive =
      result.leaving || (settings.check.answer_decides && result.failure == CheckResult::Failure::kAnswer);
  const bool changed = target.state.on_check(good, now, settings.check, settings.policy, decisive);
  const bool turned = target.state.on_leaving(leaving_sign(result), settings.check);
  const bool first = !health.settled;
  health.settled = true;
  health.healthy = target.state.healthy();
  health.leaving = target.state.leaving();
  health.held = good && !health.healthy && target.state.held_until() > now;
  if (health.healthy) target.passive_error.clear();
  if (health.held && !target.passive_error.empty()) health.last_error = target.passive_error;
  if (changed || turned) health.since = health.last_check;
  if (observe_) observe_({settings, health, result, changed, health.checks == 1});
  if (changed || turned || (first && !good)) log_change(target);
  if (changed || turned || first) schedule_change();
}

nanoseconds HealthChecks::delay_to_next(Target& target) {
  const HealthCheck& check = target.settings.check;
  if (target.state.in_doubt()) {
    const nanoseconds base = std::min(check.fast_interval, check.interval);
    return base * std::uniform_int_distribution<int64_t>(90, 110)(random_) / 100;
  }
  const int64_t least = std::exchange(target.spread_next, false) ? 10 : 90;
  return nanoseconds(check.interval) * std::uniform_int_distribution<int64_t>(least, 110)(random_) / 100;
}

void HealthChecks::plan(uint32_t slot, HealthTime now, nanoseconds delay) {
  due_.set(slot, now + delay);
  slots_[slot]->health.next_check = system_clock::now() + duration_cast<system_clock::duration>(delay);
}

void HealthChecks::schedule_change() {
  if (std::exchange(change_scheduled_, true)) return;
  change_timer_.expires_after(kCoalesce);
  change_timer_.async_wait([this, alive = std::weak_ptr(alive_)](const boost::system::error_code& error) {
    if (error || alive.expired()) return;
    change_scheduled_ = false;
    if (unlogged_healthy_ + unlogged_unhealthy_ > 0) {
      spdlog::log(unlogged_unhealthy_ > 0 ? spdlog::level::warn : spdlog::level::info,
                  "event=health_changes_not_logged healthy={} unhealthy={}", unlogged_healthy_,
                  unlogged_unhealthy_);
    }
    logged_ = unlogged_healthy_ = unlogged_unhealthy_ = 0;
    on_change_();
  });
}

void HealthChecks::log_change(const Target& target) {
  if (logged_ == kMaxLoggedChanges) {
    ++(target.health.healthy ? unlogged_healthy_ : unlogged_unhealthy_);
    return;
  }
  ++logged_;
  const HealthTarget& settings = target.settings;
  const std::string who = fmt::format("pool={} backend={} address={} port={}", settings.pool,
                                      settings.backend, settings.address.to_string(), settings.port);
  if (target.health.healthy) {
    spdlog::info("event=backend_healthy {}", who);
  } else {
    spdlog::warn("event=backend_unhealthy {} error={}", who, log_quoted(target.health.last_error));
  }
}

void HealthChecks::log_not_run(const Target& target, const std::string& error, HealthTime now) {
  if (not_run_logged_ != HealthTime{} && now - not_run_logged_ < kNotRunLogInterval) return;
  not_run_logged_ = now;
  spdlog::error("event=health_check_not_run pool={} backend={} error={}", target.settings.pool,
                target.settings.backend, log_quoted(error));
}

}  // namespace sluice::control
