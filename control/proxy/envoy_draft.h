// An Envoy bootstrap while it is read.
#pragma once

#include <string>
#include <vector>

#include "control/proxy/envoy_document.h"
#include "control/proxy/proxy_config.h"

namespace sluice {

/// Where a cluster is named, to be checked when all are known.
struct EnvoyClusterReference {
  EnvoyMessage holder;
  const YamlNode* node;
  std::string field;
};

struct EnvoyDraft {
  EnvoyReport report;
  ProxyConfig config;
  std::vector<EnvoyClusterReference> references;
  std::string outlier_event_log;  ///< cluster_manager.outlier_detection.event_log_path
};

/// Reads a name as reports, metrics and logs can show it; false, and refused, if it cannot be.
bool read_envoy_name(const EnvoyMessage& message, std::string_view field, std::string& into);

/// A cluster's name, to be checked when all clusters are known.
void read_envoy_cluster_name(const EnvoyMessage& message, std::string_view field, std::string& into,
                             EnvoyDraft& draft);

struct EnvoyAddress {
  std::string host;  ///< an address or a name
  uint16_t port = 0;
  const YamlNode* node = nullptr;  ///< where `host` stood; nullptr: there is none, and that has been said
};

/// Reads an Address, which must be a TCP socket's.
EnvoyAddress read_envoy_address(const EnvoyMessage& message);

}  // namespace sluice
