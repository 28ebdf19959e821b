// sluice-proxy's configuration file. It is read whole, checked whole, and used only if nothing is wrong with
// it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "control/listen_address.h"
#include "control/log_settings.h"
#include "control/proxy/discovery_settings.h"
#include "control/proxy/otlp_settings.h"
#include "dataplane/l7/settings.h"
#include "lb/health_check.h"
#include "lb/l7/outlier_detector.h"
#include "lb/result.h"

namespace sluice {

/// What the control thread does about a cluster's endpoints.
struct ClusterCare {
  HealthCheck health;  ///< kind kNone: endpoints are taken for healthy
  PoolPolicy policy;
  std::vector<uint16_t> check_ports;  ///< of each endpoint
  std::optional<OutlierSettings> outlier;
  std::optional<Discovery> discovery;  ///< instead of endpoints in the cluster's settings
  std::string event_log;               ///< file for what checks find; "": none
  bool log_every_failure = false;      ///< there, each bad check, not only what changes the state
  std::string outlier_event_log;       ///< file for ejections; "": none
};

struct ProxyConfig {
  std::string name;
  std::string run_dir = "/run/sluice-proxy";  ///< the control socket is run_dir/proxy.sock
  std::chrono::milliseconds drain_delay{0};
  std::chrono::milliseconds drain_time{30'000};
  std::chrono::milliseconds discovery_wait{5'000};  ///< at the start, for first answers
  std::string upgrade_socket;  ///< where the next process asks for the listening sockets; "": nowhere
  std::string user;            ///< as whom it goes on once it has started; "": as who started it
  std::string group;           ///< "": the user's
  LogSettings log;
  std::optional<ListenAddress> metrics;  ///< where metrics are served
  std::optional<OtlpSettings>
      tracing;  ///< where spans are sent; settings.tracing says which requests have them
  l7::ProxySettings settings;
  std::vector<ClusterCare> care;  ///< of each of settings.clusters

  std::string control_socket() const { return run_dir + "/proxy.sock"; }
};

/// Parses a file's text. The error has one line per problem, "file:line:column: field: found ...; accepted:
/// ...".
Result<ProxyConfig> parse_proxy_config(std::string_view yaml, std::string_view filename);

/// Reads and parses the file.
Result<ProxyConfig> load_proxy_config(const std::string& path);

}  // namespace sluice
