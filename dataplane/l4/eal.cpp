#include "dataplane/l4/eal.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <sched.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <utility>

#include "dataplane/l4/capabilities.h"
#include "dataplane/l4/dpdk_log.h"

namespace sluice::l4 {

namespace {

/// The CPUs that this process may run on.
std::vector<unsigned> allowed_cpus() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof allowed, &allowed);
  std::vector<unsigned> cpus;
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
  }
  return cpus;
}

/// "0@(0,1),1@(0,1)": workers that float over all CPUs, or "0@(0,1),1@3": pinned ones.
std::string logical_cores(const WorkerSettings& workers, uint32_t worker_count) {
  const std::string anywhere = fmt::format("({})", fmt::join(allowed_cpus(), ","));
  std::string cores = "0@" + anywhere;
  for (uint32_t i = 0; i < worker_count; ++i) {
    cores += i < workers.cores.size() ? fmt::format(",{}@{}", i + 1, workers.cores[i])
                                      : fmt::format(",{}@{}", i + 1, anywhere);
  }
  return cores;
}

/// Free huge pages of all sizes, in MiB.
uint64_t free_huge_page_mb() {
  uint64_t total = 0;
  for (const auto& [directory, mb] :
       {std::pair{"hugepages-2048kB", 2}, std::pair{"hugepages-1048576kB", 1024}}) {
    std::ifstream file(fmt::format("/sys/kernel/mm/hugepages/{}/free_hugepages", directory));
    uint64_t pages = 0;
    if (file >> pages) total += pages * static_cast<uint64_t>(mb);
  }
  return total;
}

}  // namespace

Result<void> check_cores(const WorkerSettings& workers) {
  const std::vector<unsigned> cpus = allowed_cpus();
  for (const unsigned core : workers.cores) {
    if (std::find(cpus.begin(), cpus.end(), core) == cpus.end()) {
      return fail(
          fmt::format("workers.cores: there is no CPU {} for sluiced; it may use: {} (nproc, taskset, "
                      "systemd's AllowedCPUs); or use workers.count instead of cores",
                      core, fmt::join(cpus, ", ")));
    }
  }
  return {};
}

std::vector<std::string> eal_arguments(const DpdkSettings& dpdk, const std::vector<PortSettings>& ports,
                                       const WorkerSettings& workers, uint32_t worker_count) {
  std::vector<std::string> arguments = {"--lcores",
                                        logical_cores(workers, worker_count),
                                        "--no-telemetry",
                                        "--log-level=*:error",
                                        "--file-prefix=sluice",
                                        "--iova-mode=va",
                                        "-m",
                                        std::to_string(dpdk.memory_mb)};
  // In-memory: no runtime directory, no files in hugetlbfs that a killed process would leave.
  arguments.push_back(dpdk.huge_pages ? "--in-memory" : "--no-huge");
  if (!dpdk.huge_pages) arguments.push_back("--no-shconf");
  bool any_pci = false;
  for (const PortSettings& port : ports) {
    if (port.kind != PortKind::kPci) continue;
    any_pci = true;
    arguments.insert(arguments.end(), {"-a", port.device});
  }
  if (!any_pci) arguments.push_back("--no-pci");
  arguments.insert(arguments.end(), dpdk.eal_args.begin(), dpdk.eal_args.end());
  return arguments;
}

Result<void> start_eal(const std::vector<std::string>& arguments) {
  std::vector<std::string> all = {"sluiced"};
  all.insert(all.end(), arguments.begin(), arguments.end());

  const bool wants_huge = std::find(arguments.begin(), arguments.end(), "--no-huge") == arguments.end();
  const auto memory = std::find(arguments.begin(), arguments.end(), "-m");
  if (wants_huge && memory != arguments.end()) {
    const uint64_t wanted = std::stoull(*(memory + 1));
    const uint64_t available = free_huge_page_mb();
    if (available < wanted) {
      return fail(
          fmt::format("not enough free huge pages: {} MiB wanted, {} MiB free; reserve them with 'sysctl -w "
                      "vm.nr_hugepages={}', or set dpdk.memory_mb lower, or dpdk.huge_pages: false",
                      wanted, available, (wanted + 1) / 2 + 8));
    }
  }
  // EAL keeps pointers into argv's strings.
  static std::vector<std::string> kept;
  static std::vector<char*> kept_argv;
  kept = std::move(all);
  kept_argv.clear();
  for (std::string& argument : kept) kept_argv.push_back(argument.data());
  if (rte_eal_init(static_cast<int>(kept_argv.size()), kept_argv.data()) < 0) {
    const int error = rte_errno;
    return fail(fmt::format("DPDK did not start: {} (arguments: {}){}{}", rte_strerror(error),
                            fmt::join(arguments, " "), dpdk_said(), missing_capabilities()));
  }
  return {};
}

void stop_eal() {
  const std::filesystem::path runtime = rte_eal_get_runtime_dir();
  rte_eal_cleanup();
  // Without huge pages EAL makes this directory. It goes unless another sluiced has files in it.
  std::error_code ignored;
  if (!runtime.empty()) std::filesystem::remove(runtime, ignored);
}

}  // namespace sluice::l4
