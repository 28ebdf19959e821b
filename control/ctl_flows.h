// sluicectl's verbs about flows: who has how many, and a drain that waits until they are gone.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string_view>

#include "control/sluicectl_verbs.h"

namespace sluice {

std::span<const CtlVerb> ctl_flow_verbs();

/// The verb "backend drain", in the list of ctl_services.h: drains; with --wait surveys the flows until the
/// backend has none or the time is up, and says how many were left.
int ctl_drain(const CtlContext& context, const boost::program_options::variables_map& options);
/// "90", "90s", "500ms", "5m", "1h"; seconds if there is no unit. nullopt: anything else, or over a year.
std::optional<std::chrono::milliseconds> ctl_duration(std::string_view text);
/// Those of changes, and --wait.
void add_drain_options(boost::program_options::options_description& options);

}  // namespace sluice
