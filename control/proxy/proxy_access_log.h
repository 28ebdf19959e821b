// The access log's part of sluice-proxy's configuration file.
#pragma once

#include <memory>

#include "control/config_reader.h"
#include "dataplane/l7/access_log.h"

namespace sluice {

/// Reads `access_log`, of the file or of a listener. nullptr: it is not there, or it is off.
std::shared_ptr<const l7::AccessLog> read_access_log(const ConfigSection& section);

}  // namespace sluice
