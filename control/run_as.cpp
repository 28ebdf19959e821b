#include "control/run_as.h"

#include <fmt/format.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace sluice {
namespace {

constexpr uint64_t kKept = uint64_t{1} << CAP_NET_BIND_SERVICE;

Result<void> failed(const char* what) {
  return fail(fmt::format("{}: {}", what, std::strerror(errno)));
}

/// Leaves the calling thread of its permitted capabilities those that are kept.
bool reduce_this_thread() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> sets{};
  if (syscall(SYS_capget, &header, sets.data()) != 0) return false;
  for (size_t word = 0; word < sets.size(); ++word) {
    sets[word].permitted &= static_cast<uint32_t>(kKept >> (32 * word));
    sets[word].effective = sets[word].permitted;
    sets[word].inheritable = 0;
  }
  return syscall(SYS_capset, &header, sets.data()) == 0;
}

/// What /proc says that a thread still has; more than nothing is an error.
Result<void> check_thread(const std::filesystem::path& thread, const RunAs& who) {
  std::ifstream status(thread / "status");
  for (std::string word; status >> word;) {
    uint64_t mask = 0;
    if (word == "CapPrm:" && status >> std::hex >> mask >> std::dec && (mask & ~kKept) != 0) {
      return fail(fmt::format("thread {} still has capabilities {:#x}", thread.filename().string(), mask));
    }
    if (word != "Uid:" && word != "Gid:") continue;
    const uint64_t wanted = word == "Uid:" ? who.uid : who.gid;
    for (int i = 0; i < 4; ++i) {
      uint64_t id = 0;
      if (status >> id && id != wanted) {
        return fail(fmt::format("thread {} still is {} {}", thread.filename().string(), word, id));
      }
    }
  }
  return {};
}

}  // namespace

Result<RunAs> find_run_as(const std::string& user, const std::string& group) {
  const passwd* entry = getpwnam(user.c_str());
  if (entry == nullptr)
    return fail(fmt::format("no such user '{}'; make it: adduser --system {}", user, user));
  RunAs who{user, entry->pw_uid, entry->pw_gid, {}};
  if (!group.empty()) {
    const struct group* named = getgrnam(group.c_str());
    if (named == nullptr)
      return fail(fmt::format("no such group '{}'; make it: addgroup --system {}", group, group));
    who.gid = named->gr_gid;
  }
  int count = 64;
  who.groups.resize(static_cast<size_t>(count));
  while (getgrouplist(user.c_str(), who.gid, who.groups.data(), &count) < 0)
    who.groups.resize(static_cast<size_t>(count));
  who.groups.resize(static_cast<size_t>(count));
  return who;
}

Result<void> may_run_as(const RunAs& who) {
  if (geteuid() == 0 || (geteuid() == who.uid && getuid() == who.uid)) return {};
  return fail(
      fmt::format("cannot become user '{}': only root can; start as root, or as that user", who.user));
}

Result<void> run_as(const RunAs& who) {
  if (geteuid() == who.uid && getuid() == who.uid) return {};
  if (auto may = may_run_as(who); !may) return may;
  // The C library changes the ids of all threads; those that do not keep their capabilities lose them by it.
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return failed("cannot keep a capability");
  if (setgroups(who.groups.size(), who.groups.data()) != 0) return failed("cannot set groups");
  if (setresgid(who.gid, who.gid, who.gid) != 0) return failed("cannot set the group");
  if (setresuid(who.uid, who.uid, who.uid) != 0) return failed("cannot set the user");
  if (!reduce_this_thread()) return failed("cannot give up capabilities");
  prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
  std::error_code error;
  for (std::filesystem::directory_iterator thread("/proc/self/task", error), end; thread != end && !error;
       thread.increment(error)) {
    if (auto good = check_thread(thread->path(), who); !good) return good;
  }
  return {};
}

void forbid_new_privileges() {
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

}  // namespace sluice
