// Times in the configuration file: "900s", "250ms".
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "control/config_reader.h"

namespace sluice {

/// Reads a whole number with s, m or h; the table's range is in seconds.
void read_seconds(const ConfigSection& section, std::string_view key, std::chrono::seconds& into);

/// Reads a whole number with ms, s or m; the table's range is in milliseconds.
void read_milliseconds(const ConfigSection& section, std::string_view key, std::chrono::milliseconds& into);

}  // namespace sluice
