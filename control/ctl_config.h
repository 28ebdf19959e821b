// sluicectl's verbs for all services at once, config export, diff and apply, and for events.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "control/sluicectl_verbs.h"

namespace sluice {

std::span<const CtlVerb> ctl_config_verbs();

/// The file's text, "-" being standard input; nullopt, after an error, if it cannot be read.
std::optional<std::string> ctl_read_file(const CtlContext& context, const std::string& path);
/// Writes `text` as whole lines to the file, "-" being the output; an exit code.
int ctl_write_file(const CtlContext& context, const std::string& path, std::string text);

}  // namespace sluice
