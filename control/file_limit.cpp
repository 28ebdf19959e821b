#include "control/file_limit.h"

#include <sys/resource.h>

#include <algorithm>

namespace sluice {

uint64_t files_needed(const Services& services) {
  constexpr uint64_t kOthers = 512;   // clients, ports, workers' sleep, devices, files
  constexpr uint64_t kOfProgram = 3;  // both ends of its output while it starts, and its process
  uint64_t needed = kOthers;
  for (const Pool& pool : services.pools) {
    if (pool.health.kind == HealthCheckKind::kNone) continue;
    needed += pool.backends.size() * (pool.health.kind == HealthCheckKind::kExternal ? kOfProgram : 1);
  }
  return needed;
}

uint64_t raise_file_limit(uint64_t needed) {
  constexpr rlim_t kLater = 131'072;  // as many as 65 535 backends, the most there can be, twice
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlimit wanted{std::max<rlim_t>(limit.rlim_cur, needed),
                      std::max({limit.rlim_max, rlim_t{needed}, kLater})};
  if (setrlimit(RLIMIT_NOFILE, &wanted) == 0) return wanted.rlim_cur;
  const rlimit within{std::clamp<rlim_t>(needed, limit.rlim_cur, limit.rlim_max), limit.rlim_max};
  return setrlimit(RLIMIT_NOFILE, &within) == 0 ? within.rlim_cur : limit.rlim_cur;
}

}  // namespace sluice
