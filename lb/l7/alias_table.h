// Draws a number in proportion to weights in constant time, whatever the weights (Walker 1977; Vose, "A
// linear algorithm for generating random numbers with a given distribution", 1991).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lb/l7/random.h"

namespace sluice {

class AliasTable {
 public:
  /// Weights above 0, at least one. If all are equal the table is empty and a draw costs no memory access.
  explicit AliasTable(std::span<const uint32_t> weights);

  /// 0..count-1; consumes one number of `random`, two with unequal weights.
  uint32_t draw(Random& random) const {
    const auto column = static_cast<uint32_t>(random.below(count_));
    if (columns_.empty()) return column;
    const Column& c = columns_[column];
    return random() < c.keep ? column : c.other;
  }

 private:
  struct Column {
    uint64_t keep;  ///< of 2^64: how often the column stands for itself
    uint32_t other;
  };
  uint32_t count_;
  std::vector<Column> columns_;
};

}  // namespace sluice
