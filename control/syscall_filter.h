// System calls that sluiced never needs once it runs, and that whoever has taken it over would: refused by
// the kernel (seccomp).
//
// The list says what is forbidden, not what is allowed, because programs of external health checks inherit
// it. It costs the workers nothing: the kernel keeps a bitmap of the calls that are always allowed.
#pragma once

#include <span>
#include <string_view>

#include "lb/result.h"

namespace sluice {

/// In alphabetical order; see docs/security.md.
std::span<const std::string_view> denied_syscalls();

/// In all threads, for good: they fail with EPERM from now on, and the kernel's audit log says so. Needs
/// no_new_privs. Errors: the kernel cannot do it.
Result<void> deny_syscalls();

}  // namespace sluice
