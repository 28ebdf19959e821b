// The clusters in sluice-proxy's configuration file.
#pragma once

#include "control/config_reader.h"
#include "control/proxy/proxy_draft.h"

namespace sluice {

/// Reads one of `clusters[]` into the draft, after the section `proxy`.
void read_cluster(const ConfigSection& section, ProxyDraft& draft);

}  // namespace sluice
