#include "control/duration_words.h"

#include <fmt/format.h>

#include <algorithm>

namespace sluice {

std::string duration_words(int64_t seconds) {
  seconds = std::max<int64_t>(seconds, 0);
  if (seconds >= 86400) return fmt::format("{}d {}h", seconds / 86400, seconds / 3600 % 24);
  if (seconds >= 3600) return fmt::format("{}h {}m", seconds / 3600, seconds / 60 % 60);
  if (seconds >= 60) return fmt::format("{}m {}s", seconds / 60, seconds % 60);
  return fmt::format("{}s", seconds);
}

}  // namespace sluice
