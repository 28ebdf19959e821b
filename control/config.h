// The configuration file of sluiced as a value. docs/configuration.md describes the file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "dataplane/l4/settings.h"
#include "lb/model.h"
#include "lb/result.h"

namespace sluice {

struct NodeSettings {
  std::string name;                     ///< the host's name if the file gives none
  std::string run_dir = "/run/sluice";  ///< the control socket is run_dir/control.sock

  std::string control_socket() const { return run_dir + "/control.sock"; }
};

struct Config {
  NodeSettings node;
  l4::DpdkSettings dpdk;
  std::vector<l4::PortSettings> ports;
  l4::WorkerSettings workers;
  Services services;
};

/// Reads and checks a file. The Error holds everything that is wrong with it, one line each:
/// "file:line:column: field: found 'X'; accepted: ...". Does not throw.
Result<Config> load_config(const std::string& path);

/// The same for a text; `filename` is for the messages. node.name stays empty if the text gives none.
Result<Config> parse_config(std::string_view yaml, std::string_view filename);

}  // namespace sluice
