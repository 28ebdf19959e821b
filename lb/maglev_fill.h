// The inner half of Maglev: given whose turn it is, find the slots, fast. Same table as the textbook's
// probing, which costs size * ln(size) probes; see maglev_fill.cpp for how most of them are avoided.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lb/maglev.h"

namespace sluice {

/// A table of turns.size() slots (a prime of at least 3, at most kMaxMaglevSize). At turn t the owner
/// turns[t], an index into `permutations`, takes the first slot of its permutation that is still free. The
/// slot holds that index.
std::vector<uint16_t> fill_maglev(std::span<const MaglevPermutation> permutations,
                                  std::span<const uint16_t> turns);

}  // namespace sluice
