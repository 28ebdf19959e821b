// What sluiced may still do once it has started: it begins as root, makes its devices, and then gives up all
// but a few capabilities, for good and in every thread. docs/security.md says the same to operators.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "lb/result.h"

namespace sluice {

struct KeptCapability {
  unsigned number;  ///< capabilities(7)
  std::string_view name;
  std::string_view reason;
};

std::span<const KeptCapability> kept_capabilities();

/// Gives up, in all threads, every capability but these, also for programs that are run from here on, which
/// get none at all; and the right to gain any (no_new_privs). What the process never had it does not get.
/// Errors: a thread that still has more; nothing should go on then.
Result<void> drop_privileges();

/// The capabilities in effect for the calling thread, "net_admin net_raw", or "all".
std::string effective_capabilities();

}  // namespace sluice
