// Verbs that show something, once or again and again.
#pragma once

#include <boost/program_options/options_description.hpp>
#include <boost/program_options/variables_map.hpp>
#include <functional>

#include "control/sluicectl_verbs.h"

namespace sluice {

/// --json, --watch and --count. run_sluicectl repeats the verbs that have exactly these.
void add_view_options(boost::program_options::options_description& options);

/// --watch and --count.
void add_repeat_options(boost::program_options::options_description& options, const char* watch_help);

/// Calls `show` once, or as often as --watch and --count say, until it fails. Each turn begins with the time,
/// but not with --json; a terminal is redrawn, elsewhere turns follow each other. Returns what `show`
/// returned last.
int ctl_repeat(const CtlContext& context, const boost::program_options::variables_map& options,
               const std::function<int(const CtlContext&)>& show);

}  // namespace sluice
