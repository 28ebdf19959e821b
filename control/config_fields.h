// Every field of sluiced's configuration file; docs/configuration.md is tested against it.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "control/config_table.h"

namespace sluice {

/// The table of sluiced's file.
const ConfigTable& config_table();

/// All fields, in the order of the documentation.
std::span<const ConfigField> config_fields();

/// The field with exactly this path, or nullptr.
const ConfigField* find_config_field(std::string_view path);

/// The fields of the map at `parent` ("vips[]", "tunnel", "" for the whole file), in the order of the table.
const std::vector<const ConfigField*>& config_fields_of(std::string_view parent);

}  // namespace sluice
