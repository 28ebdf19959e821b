#include "control/proxy/proxy_limits.h"

#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>

namespace sluice {
namespace {

constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

/// A file with one number; "max", or no such file: no limit.
uint64_t limit_in(const std::string& path) {
  std::ifstream file(path);
  uint64_t limit = 0;
  return file >> limit ? limit : kNoLimit;
}

uint64_t machine_memory(const std::string& root) {
  std::ifstream file(root + "/proc/meminfo");
  for (std::string word; file >> word;) {
    uint64_t kib = 0;
    if (word == "MemTotal:" && file >> kib) return kib * 1024;
  }
  return kNoLimit;
}

/// The least limit of a group and those around it.
uint64_t limit_of_groups(const std::string& mount, std::filesystem::path group, const char* file) {
  uint64_t least = kNoLimit;
  while (true) {
    least = std::min(least, limit_in(mount + (group / file).string()));
    if (!group.has_relative_path()) return least;
    group = group.parent_path();
  }
}

// Lines of /proc/self/cgroup: "0::/group" of version 2, "4:memory,hugetlb:/group" of version 1.
uint64_t group_memory(const std::string& root) {
  uint64_t least = kNoLimit;
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t controllers = line.find(':') + 1;
    const size_t path = line.find(':', controllers) + 1;
    if (controllers == 0 || path == 0) continue;
    const std::string names = "," + line.substr(controllers, path - controllers - 1) + ",";
    const std::string group = line.substr(path);
    if (names == ",,") {
      least = std::min(least, limit_of_groups(root + "/sys/fs/cgroup", group, "memory.max"));
    } else if (names.find(",memory,") != std::string::npos) {
      least =
          std::min(least, limit_of_groups(root + "/sys/fs/cgroup/memory", group, "memory.limit_in_bytes"));
    }
  }
  return least;
}

rlim_t resource_limit(decltype(RLIMIT_AS) resource) {
  rlimit limit{};
  return getrlimit(resource, &limit) == 0 ? limit.rlim_cur : RLIM_INFINITY;
}

}  // namespace

uint64_t memory_allowed(const std::string& root) {
  return std::min({machine_memory(root), group_memory(root), uint64_t{resource_limit(RLIMIT_AS)}});
}

void fill_limits(l7::ProxySettings& settings) {
  constexpr uint64_t kLeast = 16u << 20;
  constexpr uint64_t kClientMemory = 128u << 20;
  if (settings.memory_limit == 0) settings.memory_limit = std::max(memory_allowed() / 2, kLeast);
  if (settings.max_clients == 0) {
    const rlim_t files = std::min<rlim_t>(resource_limit(RLIMIT_NOFILE), 1u << 30);
    settings.max_clients = std::max(static_cast<uint32_t>(files - files / 10), 1u);
  }
  for (l7::ListenerSettings& listener : settings.listeners) {
    if (listener.max_client_memory == 0)
      listener.max_client_memory = std::min(kClientMemory, settings.memory_limit / 8);
  }
}

}  // namespace sluice
