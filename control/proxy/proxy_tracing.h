// Tracing in sluice-proxy's configuration file.
#pragma once

#include <optional>
#include <string_view>

#include "control/config_reader.h"
#include "control/proxy/otlp_settings.h"
#include "dataplane/l7/settings.h"

namespace sluice {

/// Reads `tracing`, which may be absent: where spans go, and which requests have them.
void read_tracing(const ConfigSection& section, std::optional<OtlpSettings>& collector,
                  std::optional<l7::TracingSettings>& tracing);

/// Reads a share in percent.
void read_sample_ratio(const ConfigSection& section, std::string_view key, std::optional<SampleRatio>& into);

}  // namespace sluice
