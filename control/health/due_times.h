// What is due when: at most one time for each of many numbered things. One timer serves all of them.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "lb/health_state.h"

namespace sluice::control {

class DueTimes {
 public:
  /// Replaces an earlier time of the same number.
  void set(uint32_t number, HealthTime time) {
    erase(number);
    if (number >= times_.size()) times_.resize(number + 1);
    times_[number] = time;
    order_.emplace(time, number);
  }
  void erase(uint32_t number) {
    if (number >= times_.size() || !times_[number]) return;
    order_.erase({*times_[number], number});
    times_[number].reset();
  }
  /// The earliest, or nothing.
  std::optional<HealthTime> next() const {
    return order_.empty() ? std::nullopt : std::optional(order_.begin()->first);
  }
  /// Takes out the earliest that is due at `now`.
  std::optional<std::pair<HealthTime, uint32_t>> take(HealthTime now) {
    if (order_.empty() || order_.begin()->first > now) return std::nullopt;
    const auto due = *order_.begin();
    erase(due.second);
    return due;
  }

 private:
  std::set<std::pair<HealthTime, uint32_t>> order_;
  std::vector<std::optional<HealthTime>> times_;
};

}  // namespace sluice::control
