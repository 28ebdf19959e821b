// Smooth weighted round robin: earliest deadline first. A member of weight w has a turn every 1 / w of
// virtual time; who is due next has the next turn. Heavy members are spread between the light ones instead of
// served in a row, in every span of virtual time each has its exact share, and a turn costs log(members).
// With equal weights it is plain round robin.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace sluice {

class WeightedTurns {
 public:
  /// Virtual time of one turn of weight 1. Times wrap around; they are never further apart than one turn of
  /// the least weight that interval() accepts, so that the sign of a difference tells the order.
  static constexpr uint64_t kTurn = uint64_t{1} << 40;
  static uint64_t interval(double weight) {
    return static_cast<uint64_t>(static_cast<double>(kTurn) / std::max(weight, kLeastWeight));
  }

  /// Adds `member`, due after the part `wait` (0..1) of its interval. Allocates.
  void add(uint32_t member, uint64_t interval, double wait) {
    heap_.push_back({now_ + static_cast<uint64_t>(wait * static_cast<double>(interval)), member});
    std::ranges::push_heap(heap_, later);
  }
  bool empty() const { return heap_.empty(); }

  /// Takes out whose turn it is; for had() or put_back(). Not if empty.
  struct Turn {
    uint64_t due;
    uint32_t member;
  };
  Turn take() {
    std::ranges::pop_heap(heap_, later);
    const Turn turn = heap_.back();
    heap_.pop_back();
    return turn;
  }
  /// It has had its turn: the next is an interval later.
  void had(const Turn& turn, uint64_t interval) {
    now_ = turn.due;
    put_back({turn.due + interval, turn.member});
  }
  /// It was not wanted this time and stays due.
  void put_back(const Turn& turn) {
    heap_.push_back(turn);
    std::ranges::push_heap(heap_, later);
  }

  /// Visits (member, part of its interval until it is due, 0..1), for a successor. `interval_of(member)`.
  template <typename IntervalOf, typename Visit>
  void each_wait(IntervalOf interval_of, Visit visit) const {
    for (const Turn& turn : heap_) {
      const auto wait = static_cast<double>(static_cast<int64_t>(turn.due - now_));
      visit(turn.member, std::clamp(wait / static_cast<double>(interval_of(turn.member)), 0.0, 1.0));
    }
  }

 private:
  static constexpr double kLeastWeight = 0.001;
  static bool later(const Turn& a, const Turn& b) { return static_cast<int64_t>(a.due - b.due) > 0; }
  std::vector<Turn> heap_;
  uint64_t now_ = 0;
};

}  // namespace sluice
