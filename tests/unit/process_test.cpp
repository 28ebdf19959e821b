// What a process gives up, tried in children of this one: it cannot be had back.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <string>
#include <thread>

#include "control/file_limit.h"
#include "control/privileges.h"
#include "control/service_manager.h"
#include "control/syscall_filter.h"
#include "tests/unit/file_text.h"
#include "tests/unit/test_folder.h"

namespace sluice {
namespace {

using testing::HasSubstr;

/// What `body` prints to the given descriptor in a child process.
std::string in_child(const std::function<void(int out)>& body) {
  int ends[2];
  if (pipe(ends) != 0) abort();
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    body(ends[1]);
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char part[4096];
  for (ssize_t length; (length = read(ends[0], part, sizeof part)) > 0;)
    text.append(part, static_cast<size_t>(length));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0) text += fmt::format("<status {}>", status);
  return text;
}

void print(int out, const std::string& text) {
  (void)!write(out, text.data(), text.size());
}

std::string status_line(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key)) return line.substr(line.find_last_of("\t ") + 1);
  }
  return "";
}

uint64_t kept_mask() {
  uint64_t mask = 0;
  for (const KeptCapability& kept : kept_capabilities()) mask |= uint64_t{1} << kept.number;
  return mask;
}

class Privileges : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
  }
};

TEST_F(Privileges, EveryThreadKeepsWhatIsListedAndNothingElse) {
  const std::string seen = in_child([](int out) {
    std::atomic<bool> stop{false};
    std::thread busy([&] {
      while (!stop) sched_yield();
    });
    std::thread asleep([&] {
      while (!stop) usleep(1000);
    });
    const auto dropped = drop_privileges();
    if (!dropped) print(out, dropped.error().message);
    std::set<std::string> effective;
    std::set<std::string> others;
    size_t threads = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
      const std::string path = entry.path() / "status";
      ++threads;
      effective.insert(status_line(path, "CapEff"));
      effective.insert(status_line(path, "CapPrm"));
      for (const char* key : {"CapBnd", "CapInh", "CapAmb"}) others.insert(status_line(path, key));
      others.insert("nnp " + status_line(path, "NoNewPrivs"));
    }
    stop = true;
    busy.join();
    asleep.join();
    print(out, fmt::format("{} threads;", threads));
    for (const auto& one : effective) print(out, " " + one);
    print(out, ";");
    for (const auto& one : others) print(out, " " + one);
  });
  EXPECT_THAT(seen, testing::StartsWith("3 threads;"));
  EXPECT_THAT(seen, HasSubstr(fmt::format("; {:016x}; 0000000000000000 nnp 1", kept_mask())));
}

TEST_F(Privileges, ProgramsOfRootGetNoCapabilities) {
  const std::string seen = in_child([](int out) {
    if (!drop_privileges()) print(out, "not dropped");
    dup2(out, STDOUT_FILENO);
    execl("/bin/sh", "sh", "-c", "id -u; grep CapEff /proc/self/status", nullptr);
  });
  EXPECT_EQ(seen, "0\nCapEff:\t0000000000000000\n");
}

TEST_F(Privileges, AreNamedForPeople) {
  EXPECT_EQ(in_child([](int out) {
              (void)drop_privileges();
              print(out, effective_capabilities());
            }),
            "net_admin net_raw ipc_lock");
}

TEST_F(Privileges, ForbiddenSystemCallsFailInAllThreadsAndOthersWork) {
  const std::string seen = in_child([](int out) {
    std::atomic<int> step{0};
    int in_thread = 0;
    std::thread other([&] {
      while (step < 1) sched_yield();
      in_thread = unshare(CLONE_NEWNS) == 0 ? 0 : errno;
    });
    if (!drop_privileges()) print(out, "not dropped;");
    if (const auto denied = deny_syscalls(); !denied) print(out, denied.error().message);
    step = 1;
    other.join();
    const int mounted = syscall(SYS_umount2, "/nonexistent", 0) == 0 ? 0 : errno;
    const int named = syscall(SYS_sethostname, "x", 1) == 0 ? 0 : errno;
    const bool opens = open("/dev/null", O_RDONLY) >= 0;
    print(out, fmt::format("{} {} {} {}", in_thread == EPERM, mounted == EPERM, named == EPERM, opens));
    print(out, "; filters " + status_line("/proc/self/status", "Seccomp:"));
  });
  EXPECT_EQ(seen, "true true true true; filters 2");
}

std::string page() {
  return test::text_of(SLUICE_SOURCE_DIR "/docs/security.md");
}

TEST(SecurityDocs, TheKeptCapabilitiesAreThoseOfTheCode) {
  std::string rows;
  for (const KeptCapability& kept : kept_capabilities())
    rows += fmt::format("| `{}` | {} |\n", kept.name, kept.reason);
  EXPECT_THAT(page(), HasSubstr("|---|---|\n" + rows + "\n"));
}

TEST(SecurityDocs, TheForbiddenSystemCallsAreThoseOfTheCode) {
  std::string documented = page();
  documented = documented.substr(documented.rfind("##"));
  std::string expected;
  for (const std::string_view name : denied_syscalls()) expected += fmt::format(" `{}`", name);
  std::string found;
  for (size_t at = documented.find('`'); at != std::string::npos; at = documented.find('`', at)) {
    const size_t end = documented.find('`', at + 1);
    found += " " + documented.substr(at, end - at + 1);
    at = end + 1;
  }
  EXPECT_EQ(found, expected);
  EXPECT_TRUE(std::is_sorted(denied_syscalls().begin(), denied_syscalls().end()));
}

TEST(FileLimit, CountsCheckedBackendsAndThePipesOfPrograms) {
  Services services;
  services.pools.resize(3);
  for (Pool& pool : services.pools) pool.backends.resize(1000);
  const uint64_t unchecked = files_needed(services);
  services.pools[0].health.kind = HealthCheckKind::kTcp;
  EXPECT_EQ(files_needed(services), unchecked + 1000);
  services.pools[1].health.kind = HealthCheckKind::kExternal;
  EXPECT_EQ(files_needed(services), unchecked + 4000);
}

TEST(FileLimit, IsRaisedAsFarAsItMayBeAndNeverLowered) {
  const std::string seen = in_child([](int out) {
    const rlimit low{100, 2000};
    setrlimit(RLIMIT_NOFILE, &low);
    // Who may not raise the hard limit gets as far as it.
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0) print(out, "setresuid");
    for (const uint64_t needed : {1500, 50, 9000}) print(out, fmt::format("{} ", raise_file_limit(needed)));
  });
  EXPECT_EQ(seen, "1500 1500 2000 ");
}

TEST(FileLimit, RootRaisesTheHardLimitToo) {
  const std::string capabilities = " " + effective_capabilities() + " ";
  if (capabilities != " all " && capabilities.find(" sys_resource ") == std::string::npos) {
    GTEST_SKIP() << "needs CAP_SYS_RESOURCE";
  }
  const std::string seen = in_child([](int out) {
    const rlimit low{100, 2000};
    setrlimit(RLIMIT_NOFILE, &low);
    rlimit now{};
    const uint64_t limit = raise_file_limit(10'512);
    getrlimit(RLIMIT_NOFILE, &now);
    print(out, fmt::format("{} {} {}", limit, now.rlim_cur, now.rlim_max));
  });
  EXPECT_EQ(seen, "10512 10512 131072");
}

TEST(ServiceManager, TellsWhoeverListensAndKeepsItFromPrograms) {
  const test::TestFolder folder;
  const std::string path = folder.path("notify");
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::copy(path.begin(), path.end(), address.sun_path);
  ASSERT_EQ(bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  const auto received = [&] {
    char text[64];
    const ssize_t length = recv(socket, text, sizeof text, MSG_DONTWAIT);
    return std::string(text, length > 0 ? static_cast<size_t>(length) : 0);
  };
  setenv("NOTIFY_SOCKET", path.c_str(), 1);
  setenv("WATCHDOG_USEC", "3000000", 1);
  {
    ServiceManager manager;
    EXPECT_EQ(getenv("NOTIFY_SOCKET"), nullptr);
    EXPECT_EQ(getenv("WATCHDOG_USEC"), nullptr);
    EXPECT_EQ(manager.watchdog(), std::chrono::seconds(3));
    manager.ready();
    EXPECT_EQ(received(), "READY=1");
    manager.alive();
    EXPECT_EQ(received(), "WATCHDOG=1");
    manager.stopping();
    EXPECT_EQ(received(), "STOPPING=1");
  }
  ServiceManager without;
  EXPECT_EQ(without.watchdog(), std::nullopt);
  without.ready();
  without.alive();
  EXPECT_EQ(received(), "");
  close(socket);
}

}  // namespace
}  // namespace sluice
