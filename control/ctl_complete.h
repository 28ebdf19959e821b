// What the shells' completion asks: `sluicectl __complete WORD...`.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace sluice {

/// The words that may stand in the place of the last one of `words`, which may be empty or half a word. Names
/// of VIPs, pools and backends come from the sluiced that --socket names; without one there are none.
std::vector<std::string> ctl_completions(std::span<const std::string> words);

}  // namespace sluice
