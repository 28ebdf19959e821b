// How many of something there are at this moment, over all workers, and never more than a limit.
#pragma once

#include <atomic>
#include <cstdint>

namespace sluice {

class LimitedCount {
 public:
  /// Takes one more if there are fewer than `limit` now. Never lets in more than the limit; of several that
  /// ask for the last one at the same moment one gets it.
  bool try_take(uint32_t limit) {
    uint32_t count = count_.load(std::memory_order_relaxed);
    do {
      if (count >= limit) {
        refused_.fetch_add(1, std::memory_order_relaxed);
        return false;
      }
    } while (!count_.compare_exchange_weak(count, count + 1, std::memory_order_relaxed));
    return true;
  }
  /// Takes one more, whatever the limit.
  void take() { count_.fetch_add(1, std::memory_order_relaxed); }
  /// Gives back one that was taken.
  void give_back() { count_.fetch_sub(1, std::memory_order_relaxed); }

  uint32_t count() const { return count_.load(std::memory_order_relaxed); }
  /// How often there was no room, since the beginning.
  uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> refused_{0};
  std::atomic<uint32_t> count_{0};
};

}  // namespace sluice
