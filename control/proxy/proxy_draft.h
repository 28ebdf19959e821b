// sluice-proxy's configuration file while it is read.
#pragma once

#include <string>
#include <vector>

#include "control/config_reader.h"
#include "control/proxy/proxy_config.h"
#include "control/proxy/proxy_routes.h"

namespace sluice {

/// What has been read, and where it stood, for the checks that compare fields.
struct ProxyDraft {
  ProxyConfig config;
  ConfigSection root;
  struct Named {
    ConfigSection section;
    const YamlNode* name;
  };
  std::vector<Named> listeners;
  std::vector<Named> clusters;
  std::vector<ClusterReference> references;
  std::string zone;                                 ///< proxy.zone
  std::shared_ptr<const l7::AccessLog> access_log;  ///< of listeners that say nothing about it
};

}  // namespace sluice
