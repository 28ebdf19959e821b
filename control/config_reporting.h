// The parts that every program's file has about what it tells of itself: its log and its metrics.
#pragma once

#include <optional>

#include "control/config_reader.h"
#include "control/listen_address.h"
#include "control/log_settings.h"

namespace sluice {

/// Reads `log`; what is absent stays.
void read_log(const ConfigSection& section, LogSettings& settings);

/// Reads `metrics`, which may be absent.
void read_metrics(const ConfigSection& section, std::optional<ListenAddress>& listen);

}  // namespace sluice
