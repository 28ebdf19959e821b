// The file that sluice-proxy runs with: its own, or Envoy's static bootstrap.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/proxy/proxy_config.h"

namespace sluice {

struct ProxyFile {
  std::string path;
  bool envoy = false;    ///< Envoy's, whatever it looks like; otherwise what stands in it tells
  uint32_t workers = 0;  ///< of Envoy's, which does not say; 0: as many as the machine has processors
  std::string run_dir;   ///< in the place of proxy.run_dir; "": what the file says
};

struct LoadedProxyFile {
  ProxyConfig config;
  std::string text;
  /// One line each, with file, line and column: what stands there and is not used.
  std::vector<std::string> warnings;
};

/// Reads and parses the file. The error has one line per problem.
Result<LoadedProxyFile> load_proxy_file(const ProxyFile& file);
/// The same of a text that might stand there; `name` is for errors.
Result<LoadedProxyFile> parse_proxy_file(const ProxyFile& file, std::string text, const std::string& name);

}  // namespace sluice
