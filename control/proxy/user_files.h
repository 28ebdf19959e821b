// Files that a proxy which has become proxy.user needs again: for a reload, for a rotation of its logs, and
// in the next process, which is that user from its start.
#pragma once

#include "control/proxy/proxy_config.h"
#include "control/run_as.h"

namespace sluice::control {

/// Gives log files that root owns, and has just opened or made, to that user. To be called as root; what
/// cannot be given away is told of by warn_of_user_files().
void give_logs(const ProxyConfig& config, const RunAs& who);

/// To be called as that user: says in the log what it cannot read or write. `path`: of the configuration.
void warn_of_user_files(const std::string& path, const ProxyConfig& config);

}  // namespace sluice::control
