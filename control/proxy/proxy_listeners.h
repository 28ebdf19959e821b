// The listeners in sluice-proxy's configuration file.
#pragma once

#include "control/config_reader.h"
#include "control/proxy/proxy_draft.h"

namespace sluice {

/// Reads one of `listeners[]` into the draft.
void read_listener(const ConfigSection& section, ProxyDraft& draft);

}  // namespace sluice
