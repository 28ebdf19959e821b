// Every field of sluice-proxy's configuration file; docs/proxy-configuration.md is tested against it.
#pragma once

#include "control/config_table.h"

namespace sluice {

/// The table of sluice-proxy's file.
const ConfigTable& proxy_config_table();

}  // namespace sluice
