// How long something has lasted, for people.
#pragma once

#include <cstdint>
#include <string>

namespace sluice {

/// "2d 3h", "3h 12m", "12m 5s", "5s"; below 0 as 0.
std::string duration_words(int64_t seconds);

}  // namespace sluice
