// A program that starts as root and goes on as somebody else: sluice-proxy, once it has opened its ports and
// read its keys. docs/security.md says the same to operators.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "lb/result.h"

namespace sluice {

struct RunAs {
  std::string user;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  ///< all that the user is a member of, and `gid`
};

/// `group` "": the user's own. Errors: no such user or group.
Result<RunAs> find_run_as(const std::string& user, const std::string& group);

/// Whether run_as() can be tried: only root becomes somebody else. The error says so.
Result<void> may_run_as(const RunAs& who);

/// Becomes that user in all threads, for good. Nothing to do if it is that user already. Of root's
/// capabilities the calling thread alone keeps one, CAP_NET_BIND_SERVICE, if it had it: a reload may open
/// further ports. Errors: not root; a thread that has more left than that, nothing should go on then.
Result<void> run_as(const RunAs& who);

/// No program that is run from here on gains anything by being run (no_new_privs), in this thread and those
/// that it starts.
void forbid_new_privileges();

}  // namespace sluice
