// sluicectl's verbs for all services at once, config export, diff and apply, and for events.
#pragma once

#include <span>

#include "control/sluicectl_verbs.h"

namespace sluice {

std::span<const CtlVerb> ctl_config_verbs();

}  // namespace sluice
