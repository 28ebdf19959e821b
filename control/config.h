// The configuration file of sluiced as a value. docs/configuration.md describes the file.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/listen_address.h"
#include "control/log_settings.h"
#include "dataplane/l4/settings.h"
#include "lb/model.h"
#include "lb/result.h"

namespace sluice {

struct YamlNode;

struct NodeSettings {
  std::string name;                           ///< the host's name if the file gives none
  std::string run_dir = "/run/sluice";        ///< the control socket is run_dir/control.sock
  std::string state_dir = "/var/lib/sluice";  ///< what survives a restart

  std::string control_socket() const { return run_dir + "/control.sock"; }
};

/// Announcing VIPs to the routers; absent: nothing is announced.
struct AnnounceSettings {
  std::string device = "sluice-vips";  ///< the TUN device whose addresses BIRD or FRR exports
  /// The same for a node that drains; they export it with the graceful shutdown community (RFC 8326).
  std::string drain_device = "sluice-drain";
  std::chrono::seconds drain_delay{5};  ///< from the start of a drain to the withdrawal
  std::chrono::seconds stop_delay{1};   ///< from withdrawing at SIGTERM to the end of forwarding
  friend bool operator==(const AnnounceSettings&, const AnnounceSettings&) = default;
};

struct Config {
  NodeSettings node;
  std::optional<AnnounceSettings> announce;
  std::optional<ListenAddress> metrics;  ///< where metrics are served
  LogSettings log;
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

/// A file as the tree that config_of() takes. Errors as load_config(), but for what the fields hold.
Result<YamlNode> load_config_tree(const std::string& path);

/// Reads and checks a tree; the tree need not come from a file. Errors as load_config(); what stands in line
/// 0 is named by its path alone.
Result<Config> config_of(const YamlNode& tree, std::string_view filename);

}  // namespace sluice
