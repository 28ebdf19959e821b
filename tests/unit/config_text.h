// sluiced's configuration file as sections that a test replaces, and what becomes of it.
#pragma once

#include <string>

#include "control/config.h"

namespace sluice::test {

/// A correct file, as sections that a test replaces.
struct ConfigText {
  std::string node = "node: {name: lb1, cluster_seed: s}\n";
  std::string dpdk;
  std::string ports = "ports:\n  - {name: wan, af_xdp: eth1}\n";
  std::string workers;
  std::string tunnel = "tunnel: {source_ipv4: 192.0.2.1}\n";
  std::string vips = "vips:\n  - {name: web, address: 203.0.113.10, protocol: tcp, port: 80, pool: web}\n";
  std::string pools = "pools:\n  - {name: web, backends: [{name: b1, address: 10.0.1.11}]}\n";

  std::string text() const { return node + dpdk + ports + workers + tunnel + vips + pools; }
};

inline Result<Config> parse(const ConfigText& text) {
  return parse_config(text.text(), "f.yaml");
}

inline std::string error_of(const std::string& text) {
  const auto config = parse_config(text, "f.yaml");
  return config ? "no error" : config.error().message;
}
inline std::string error_of(const ConfigText& text) {
  return error_of(text.text());
}

}  // namespace sluice::test
