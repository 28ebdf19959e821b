// Starts DPDK's environment (EAL) from Sluice's own settings: users never type EAL options.
#pragma once

#include <string>
#include <vector>

#include "dataplane/l4/settings.h"
#include "lb/result.h"

namespace sluice::l4 {

/// Whether each of `workers.cores` is a CPU that this process may run on.
Result<void> check_cores(const WorkerSettings& workers);

/// The EAL command line, without the program's name, for `workers` worker threads (logical cores 1..N;
/// logical core 0 is the calling thread).
std::vector<std::string> eal_arguments(const DpdkSettings& dpdk, const std::vector<PortSettings>& ports,
                                       const WorkerSettings& workers, uint32_t worker_count);

/// Starts EAL; once per process. Errors name what to do (huge pages, permission).
Result<void> start_eal(const std::vector<std::string>& arguments);

/// Frees what EAL holds. Workers must have returned.
void stop_eal();

}  // namespace sluice::l4
