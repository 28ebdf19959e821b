#include "lb/health_state.h"

#include <algorithm>

namespace sluice {

bool HealthState::on_check(bool good, HealthTime now, const HealthCheck& check, const PoolPolicy& policy,
                           bool decisive) {
  const bool first = !settled_;
  settled_ = true;
  if (good == healthy_) {
    streak_ = 0;
    return false;
  }
  ++streak_;
  if (good) {
    if ((!first && streak_ < check.rise) || now < held_until_) return false;
    healthy_ = true;
  } else {
    if (!decisive && streak_ < check.fall) return false;
    fall(now, policy);
  }
  streak_ = 0;
  return true;
}

bool HealthState::on_passive_failure(HealthTime now, std::chrono::nanoseconds hold,
                                     const PoolPolicy& policy) {
  const bool changed = healthy_;
  settled_ = true;
  streak_ = 0;
  if (changed) fall(now, policy);
  held_until_ = std::max(held_until_, now + hold);
  return changed;
}

bool HealthState::on_leaving(LeavingSign sign, const HealthCheck& check) {
  const bool before = leaving_;
  silences_ = sign == LeavingSign::kSilence ? silences_ + 1 : 0;
  if (sign == LeavingSign::kSaid) leaving_ = true;
  if (healthy_ || sign == LeavingSign::kOther || silences_ >= check.fall) leaving_ = false;
  return leaving_ != before;
}

void HealthState::fall(HealthTime now, const PoolPolicy& policy) {
  healthy_ = false;
  falls_.push_back(now);
  while (!falls_.empty() && falls_.front() + policy.flap_window < now) falls_.pop_front();
  if (policy.flap_limit > 0 && falls_.size() >= policy.flap_limit) held_until_ = now + policy.flap_hold;
}

}  // namespace sluice
