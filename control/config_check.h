// What must hold between the fields of a configuration: names that are unique or exist, services that do not
// overlap, tunnel sources for the backends there are.
#pragma once

#include <vector>

#include "control/config.h"
#include "control/config_reader.h"

namespace sluice {

/// A Config as read, with the places of those fields that others are compared with. A nullptr is a field that
/// is absent or was refused already; it is compared with nothing. The lists run parallel to the Config's.
struct ConfigDraft {
  struct PortPlaces {
    ConfigSection section;
    const YamlNode* name = nullptr;
    const YamlNode* device = nullptr;
    const YamlNode* mtu = nullptr;
  };
  struct VipPlaces {
    ConfigSection section;
    const YamlNode* name = nullptr;
    const YamlNode* address = nullptr;
    const YamlNode* protocol = nullptr;
    const YamlNode* port = nullptr;
    const YamlNode* pool = nullptr;
  };
  struct BackendPlaces {
    ConfigSection section;
    const YamlNode* name = nullptr;
    const YamlNode* address = nullptr;
    ConfigSection next_hop;
    const YamlNode* next_hop_port = nullptr;
  };
  struct PoolPlaces {
    ConfigSection section;
    const YamlNode* name = nullptr;
    const YamlNode* maglev_size = nullptr;
    std::vector<BackendPlaces> backends;
  };

  Config config;
  ConfigSection root;
  std::vector<PortPlaces> ports;
  std::vector<VipPlaces> vips;
  std::vector<PoolPlaces> pools;
  bool has_tunnel_ipv4 = false;  ///< a source is given, right or wrong
  bool has_tunnel_ipv6 = false;
};

/// Reports through the sections of `draft` whatever does not fit together.
void check_config(const ConfigDraft& draft);

}  // namespace sluice
