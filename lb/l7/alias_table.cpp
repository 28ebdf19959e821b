#include "lb/l7/alias_table.h"

#include <algorithm>
#include <numeric>

namespace sluice {

AliasTable::AliasTable(std::span<const uint32_t> weights) : count_(static_cast<uint32_t>(weights.size())) {
  if (std::ranges::adjacent_find(weights, std::ranges::not_equal_to()) == weights.end()) return;
  // In integers, scaled so that an average weight is `sum`: nothing is lost to rounding before the last step.
  const uint64_t sum = std::accumulate(weights.begin(), weights.end(), uint64_t{0});
  std::vector<uint64_t> parts(weights.begin(), weights.end());
  for (uint64_t& part : parts) part *= count_;
  std::vector<uint32_t> light;
  std::vector<uint32_t> heavy;
  for (uint32_t i = 0; i < count_; ++i) (parts[i] < sum ? light : heavy).push_back(i);

  columns_.resize(count_);
  const auto scaled = [sum](uint64_t part) {
    return static_cast<uint64_t>(static_cast<long double>(part) / static_cast<long double>(sum) * 0x1p64L);
  };
  while (!light.empty()) {
    const uint32_t small = light.back();
    light.pop_back();
    const uint32_t large = heavy.back();  // there is one: the parts that are left average `sum`
    columns_[small] = {scaled(parts[small]), large};
    parts[large] -= sum - parts[small];
    if (parts[large] < sum) {
      heavy.pop_back();
      light.push_back(large);
    }
  }
  for (const uint32_t i : heavy) columns_[i] = {~uint64_t{0}, i};
}

}  // namespace sluice
