// Counts what a test program allocates, for tests of code that must not. Link count_allocations.cpp.
#pragma once

#include <cstdint>

namespace sluice {

/// Calls of operator new by this thread so far.
uint64_t allocations_so_far();

}  // namespace sluice
