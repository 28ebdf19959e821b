// What DPDK and libbpf have to say. They write to stderr as they like; here their words are kept, so that an
// error of ours can end with the reason, in one line.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace sluice::l4 {

/// From now on their lines are kept instead of printed. Call before EAL starts; once is enough.
void keep_dpdk_log();

/// From now on each line is given to `take`, on whichever thread it comes up; nullptr: kept again.
void pass_dpdk_log(std::function<void(std::string_view)> take);

/// ": " and the last few lines since the call before, joined by "; ". Empty if there are none.
std::string dpdk_said();

}  // namespace sluice::l4
