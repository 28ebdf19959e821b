// Counters of which each worker has its own, so that counting takes neither a lock nor a cache line of
// another core.
#pragma once

#include <cstdint>
#include <vector>

namespace sluice::l7 {

/// `Block` is aligned to cache lines and made of Counters.
template <typename Block>
class PerWorker {
 public:
  static_assert(alignof(Block) >= 64, "no line is written by two workers");

  explicit PerWorker(uint32_t workers) : blocks_(workers) {}

  /// That worker's own; it alone writes there.
  Block& of(uint32_t worker) { return blocks_[worker]; }
  /// The sum of `value(block)` over all workers. From any thread.
  template <typename Value>
  uint64_t sum(Value value) const {
    uint64_t sum = 0;
    for (const Block& block : blocks_) sum += value(block);
    return sum;
  }
  /// Calls `visit(const Block&)` for each worker's. From any thread.
  template <typename Visit>
  void for_each(Visit visit) const {
    for (const Block& block : blocks_) visit(block);
  }

 private:
  std::vector<Block> blocks_;
};

}  // namespace sluice::l7
