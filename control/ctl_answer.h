// What most verbs do: ask the server, and show its answer as it came or for people.
#pragma once

#include <boost/program_options/variables_map.hpp>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "control/sluicectl_verbs.h"
#include "control/table.h"

namespace sluice {

/// Sends a request. With --json writes the answer, otherwise passes it to `show`. An exit code; a field that
/// `show` misses is an error of the server's.
int ctl_show(const CtlContext& context, const boost::program_options::variables_map& options,
             const std::string& method, const std::string& target, const std::string& body,
             const std::function<void(const nlohmann::ordered_json&)>& show);

/// The table, or the line `none` if it has no rows.
void ctl_write_table(const CtlContext& context, const Table& table, std::string_view none);

/// The level of the log at /v1/log, or, if the verb was given a word, changes it. `who` is for people.
int ctl_log_level(const CtlContext& context, std::string_view who);

}  // namespace sluice
