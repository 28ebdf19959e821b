// The file in which services survive a restart: state_dir/services.yaml.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "control/yaml_tree.h"
#include "lb/result.h"

namespace sluice {

struct ServiceState {
  uint64_t generation = 0;          ///< counts changes of the services, over restarts
  uint64_t config_fingerprint = 0;  ///< of the services of the configuration file that the changes began with
  YamlNode services;
};

std::string render_state(ServiceState state);

/// The reverse. Errors: everything that render_state() did not write, down to a single changed letter.
Result<ServiceState> parse_state(std::string_view text);

/// nullopt if there is no such file. Errors name the file and say what to do about it.
Result<std::optional<ServiceState>> load_state(const std::string& path);

}  // namespace sluice
