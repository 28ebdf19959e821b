#include "control/proxy/proxy_limits.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/test_folder.h"

namespace sluice {
namespace {

/// Files of a machine with 8 GB, below a folder of its own.
class Machine {
 public:
  Machine() { file("/proc/meminfo", "MemFree: 5 kB\nMemTotal:        8388608 kB\n"); }
  void file(const std::string& path, const std::string& text) const {
    const auto at = root() + path;
    std::filesystem::create_directories(std::filesystem::path(at).parent_path());
    std::ofstream(at) << text;
  }
  std::string root() const { return folder_.path(); }

 private:
  test::TestFolder folder_;
};

constexpr uint64_t kMachine = 8ull << 30;

TEST(MemoryAllowed, IsTheMachinesWithoutAGroup) {
  const Machine machine;
  EXPECT_EQ(memory_allowed(machine.root()), kMachine);
}

TEST(MemoryAllowed, IsTheLeastOfItsGroupAndThoseAround) {
  const Machine machine;
  machine.file("/proc/self/cgroup", "0::/site/proxy\n");
  machine.file("/sys/fs/cgroup/site/proxy/memory.max", "max\n");
  EXPECT_EQ(memory_allowed(machine.root()), kMachine);
  machine.file("/sys/fs/cgroup/site/memory.max", "1000000000\n");
  EXPECT_EQ(memory_allowed(machine.root()), 1'000'000'000u);
  machine.file("/sys/fs/cgroup/site/proxy/memory.max", "300000000\n");
  EXPECT_EQ(memory_allowed(machine.root()), 300'000'000u);
}

TEST(MemoryAllowed, IsThatOfItsContainersNamespace) {
  const Machine machine;
  machine.file("/proc/self/cgroup", "0::/\n");
  machine.file("/sys/fs/cgroup/memory.max", "200000000\n");
  EXPECT_EQ(memory_allowed(machine.root()), 200'000'000u);
}

TEST(MemoryAllowed, KnowsVersionOneOfGroups) {
  const Machine machine;
  machine.file("/proc/self/cgroup", "5:cpu,cpuacct:/x\n4:hugetlb,memory:/proxy\n1:name=systemd:/y\n");
  machine.file("/sys/fs/cgroup/memory/proxy/memory.limit_in_bytes", "400000000\n");
  EXPECT_EQ(memory_allowed(machine.root()), 400'000'000u);
}

TEST(FillLimits, LeavesWhatTheFileSays) {
  l7::ProxySettings settings;
  settings.memory_limit = 100u << 20;
  settings.max_clients = 5;
  settings.listeners.resize(2);
  settings.listeners[1].max_client_memory = 3u << 20;
  fill_limits(settings);
  EXPECT_EQ(settings.memory_limit, 100u << 20);
  EXPECT_EQ(settings.max_clients, 5u);
  EXPECT_EQ(settings.listeners[0].max_client_memory, (100u << 20) / 8);
  EXPECT_EQ(settings.listeners[1].max_client_memory, 3u << 20);
}

TEST(FillLimits, LeavesDescriptorsForEndpoints) {
  rlimit files{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
  l7::ProxySettings settings;
  settings.listeners.resize(1);
  fill_limits(settings);
  EXPECT_LT(settings.max_clients, files.rlim_cur);
  EXPECT_GE(settings.max_clients, files.rlim_cur / 2);
  EXPECT_EQ(settings.memory_limit, memory_allowed() / 2);
  EXPECT_EQ(settings.listeners[0].max_client_memory,
            std::min<uint64_t>(128u << 20, settings.memory_limit / 8));
}

}  // namespace
}  // namespace sluice
