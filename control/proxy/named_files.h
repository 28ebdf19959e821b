// The files that a configuration names and that a start opens beside certificates: what --check says of them.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "control/proxy/proxy_config.h"

namespace sluice::control {

struct NamedFiles {
  std::vector<std::string> errors;    ///< one line each: a start would fail
  std::vector<std::string> warnings;  ///< one line each: it would go on without
  size_t endpoints = 0;               ///< in files of endpoints
};

/// Reads the files of endpoints, and looks at where log files are to be. Changes nothing. What may be read
/// and written is told for the user that this process runs as.
NamedFiles look_at_named_files(const ProxyConfig& config);

}  // namespace sluice::control
