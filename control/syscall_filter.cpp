#include "control/syscall_filter.h"

#include <fmt/format.h>
#include <seccomp.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace sluice {

namespace {

constexpr std::string_view kDenied[] = {
    "_sysctl",
    "acct",
    "add_key",
    "adjtimex",
    "chroot",
    "clock_adjtime",
    "clock_settime",
    "create_module",
    "delete_module",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "get_kernel_syms",
    "init_module",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "mount",
    "mount_setattr",
    "move_mount",
    "nfsservctl",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "personality",
    "pivot_root",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "quotactl",
    "quotactl_fd",
    "reboot",
    "request_key",
    "setdomainname",
    "sethostname",
    "setns",
    "settimeofday",
    "swapoff",
    "swapon",
    "syslog",
    "umount",
    "umount2",
    "unshare",
    "uselib",
    "userfaultfd",
    "vhangup",
};

/// LeakSanitizer looks into the other threads at the end.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kTraced = true;
#else
constexpr bool kTraced = false;
#endif

/// Frees the filter at the end of its scope.
class Filter {
 public:
  Filter() : context_(seccomp_init(SCMP_ACT_ALLOW)) {}
  ~Filter() {
    if (context_ != nullptr) seccomp_release(context_);
  }
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;
  scmp_filter_ctx get() const { return context_; }

 private:
  scmp_filter_ctx context_;
};

}  // namespace

std::span<const std::string_view> denied_syscalls() {
  return kDenied;
}

Result<void> deny_syscalls() {
  const auto failed = [](int error) {
    return fail(fmt::format("cannot restrict system calls: {}", std::strerror(-error)));
  };
  const Filter filter;
  if (filter.get() == nullptr) return failed(-ENOMEM);
  seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_NNP, 0);  // set already, see privileges.h
  seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1);
  seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_LOG, 1);
  // Filters of others may cost each packet's system call dearly by mitigations against speculation; this one
  // is no sandbox for foreign code.
  seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_SSB, 1);
  for (const std::string_view name : kDenied) {
    if (kTraced && name == "ptrace") continue;
    const int number = seccomp_syscall_resolve_name(std::string(name).c_str());
    if (number < 0) continue;  // not on this architecture
    if (const int error = seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(EPERM), number, 0); error != 0) {
      return failed(error);
    }
  }
  if (const int error = seccomp_load(filter.get()); error != 0) return failed(error);
  return {};
}

}  // namespace sluice
