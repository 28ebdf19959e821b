// sluicectl's verbs for VIPs, pools and backends: list, show, add, set, remove, drain.
#pragma once

#include <span>

#include "control/sluicectl_verbs.h"

namespace sluice {

std::span<const CtlVerb> ctl_service_verbs();

/// Sends a change and says what it changed, or, with --json, what the server answered. `if_match`: the
/// generation to change, "" for whatever it is; --generation goes before it.
int ctl_change(const CtlContext& context, const boost::program_options::variables_map& options,
               const std::string& method, const std::string& target, const std::string& body,
               const std::string& if_match = {});

/// --json, --dry-run and --generation.
void add_change_options(boost::program_options::options_description& options);

}  // namespace sluice
