#include "control/privileges.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>
#include <vector>

namespace sluice {

namespace {

constexpr KeptCapability kKept[] = {
    {CAP_NET_ADMIN, "CAP_NET_ADMIN",
     "addresses of the announcement device, the XDP program of a port when it ends, MTU and promiscuous "
     "mode"},
    {CAP_NET_RAW, "CAP_NET_RAW",
     "ICMP health checks and those that go through the tunnel, and sockets bound to an interface"},
    {CAP_IPC_LOCK, "CAP_IPC_LOCK", "memory that a NIC writes into stays where it is"},
};

/// What the kernel calls them, by number.
constexpr std::array<std::string_view, 41> kNames{"chown",
                                                  "dac_override",
                                                  "dac_read_search",
                                                  "fowner",
                                                  "fsetid",
                                                  "kill",
                                                  "setgid",
                                                  "setuid",
                                                  "setpcap",
                                                  "linux_immutable",
                                                  "net_bind_service",
                                                  "net_broadcast",
                                                  "net_admin",
                                                  "net_raw",
                                                  "ipc_lock",
                                                  "ipc_owner",
                                                  "sys_module",
                                                  "sys_rawio",
                                                  "sys_chroot",
                                                  "sys_ptrace",
                                                  "sys_pacct",
                                                  "sys_admin",
                                                  "sys_boot",
                                                  "sys_nice",
                                                  "sys_resource",
                                                  "sys_time",
                                                  "sys_tty_config",
                                                  "mknod",
                                                  "lease",
                                                  "audit_write",
                                                  "audit_control",
                                                  "setfcap",
                                                  "mac_override",
                                                  "mac_admin",
                                                  "syslog",
                                                  "wake_alarm",
                                                  "block_suspend",
                                                  "audit_read",
                                                  "perfmon",
                                                  "bpf",
                                                  "checkpoint_restore"};

constexpr uint64_t kept_mask() {
  uint64_t mask = 0;
  for (const KeptCapability& kept : kKept) mask |= uint64_t{1} << kept.number;
  return mask;
}

struct Sets {
  std::array<__user_cap_data_struct, 2> words{};
};

bool get_sets(Sets& sets) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  return syscall(SYS_capget, &header, sets.words.data()) == 0;
}

/// For the calling thread. System calls only: it also runs in a signal handler.
bool reduce_this_thread() {
  Sets sets;
  if (!get_sets(sets)) return false;
  const bool may_set = (sets.words[0].effective >> CAP_SETPCAP & 1) != 0;
  if (may_set) {
    // Not even root's own programs get capabilities by being run.
    for (unsigned number = 0; number < 64; ++number) {
      if (prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1) prctl(PR_CAPBSET_DROP, number, 0, 0, 0);
    }
    prctl(PR_SET_SECUREBITS,
          SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
              SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
          0, 0, 0);
  }
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  for (size_t word = 0; word < sets.words.size(); ++word) {
    const auto kept = static_cast<uint32_t>(kept_mask() >> (32 * word));
    sets.words[word].permitted &= kept;
    sets.words[word].effective &= kept;
    sets.words[word].inheritable = 0;
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  return syscall(SYS_capset, &header, sets.words.data()) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

std::atomic<int> threads_left{0};

void on_signal(int) {
  const int error = errno;
  reduce_this_thread();
  threads_left.fetch_sub(1);
  errno = error;
}

std::vector<pid_t> threads() {
  std::vector<pid_t> ids;
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/proc/self/task", error), end; entry != end && !error;
       entry.increment(error)) {
    ids.push_back(static_cast<pid_t>(std::stol(entry->path().filename().string())));
  }
  return ids;
}

/// Capabilities belong to threads, and the kernel changes those of the calling thread only: each of the
/// others is made to do it itself, in a signal handler, as the C library does for setuid().
void reduce_other_threads() {
  const int number = SIGRTMAX - 1;
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigfillset(&action.sa_mask);
  sigaction(number, &action, &before);
  for (const pid_t thread : threads()) {
    if (thread == gettid()) continue;
    threads_left.fetch_add(1);
    if (syscall(SYS_tgkill, getpid(), thread, number) != 0) threads_left.fetch_sub(1);
  }
  constexpr int kWaits = 2000;
  for (int i = 0; i < kWaits && threads_left.load() > 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  // A thread that takes the signal late must still find its handler.
  if (threads_left.load() == 0) sigaction(number, &before, nullptr);
}

std::optional<uint64_t> effective_of(pid_t thread) {
  std::ifstream status(fmt::format("/proc/self/task/{}/status", thread));
  for (std::string word; status >> word;) {
    uint64_t mask = 0;
    if (word == "CapEff:" && status >> std::hex >> mask) return mask;
  }
  return std::nullopt;
}

}  // namespace

std::span<const KeptCapability> kept_capabilities() {
  return kKept;
}

Result<void> drop_privileges() {
  reduce_other_threads();
  if (!reduce_this_thread())
    return fail(fmt::format("cannot give up capabilities: {}", std::strerror(errno)));
  for (const pid_t thread : threads()) {
    const auto effective = effective_of(thread);
    if (effective && (*effective & ~kept_mask()) != 0) {
      return fail(fmt::format("thread {} still has capabilities {:#x}, more than {:#x}", thread, *effective,
                              kept_mask()));
    }
  }
  return {};
}

std::string effective_capabilities() {
  Sets sets;
  if (!get_sets(sets)) return "";
  const uint64_t mask = sets.words[0].effective | uint64_t{sets.words[1].effective} << 32;
  std::string text;
  size_t count = 0;
  for (size_t number = 0; number < kNames.size(); ++number) {
    if ((mask >> number & 1) == 0) continue;
    text += (text.empty() ? "" : " ") + std::string(kNames[number]);
    ++count;
  }
  return count == kNames.size() ? "all" : text;
}

}  // namespace sluice
