// The endpoints of clusters that do not list them: from name servers or from files, followed while the proxy
// runs. What was good last is kept whatever goes wrong. docs/discovery.md is the operator's page.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/proxy/cluster_endpoints.h"
#include "control/proxy/file_watch.h"
#include "control/proxy/proxy_config.h"

namespace sluice::control {

/// An event of the log. docs/discovery.md is tested against the list.
struct DiscoveryEvent {
  std::string_view name;
  std::string_view help;
};
std::span<const DiscoveryEvent> discovery_events();

/// What can be said of one cluster's discovery.
struct DiscoveryStatus {
  std::string cluster;
  std::string_view kind;  ///< "dns" or "file"
  uint64_t good = 0;      ///< answers, or versions of a file, since the start
  uint64_t empty = 0;     ///< those that said that there is nothing
  uint64_t failed = 0;
  std::chrono::milliseconds age{0};  ///< of the last good one; of the name that has waited longest for one
  size_t endpoints = 0;
  std::string error;  ///< "": the last answers were good
};

class ClusterDiscovery;

/// Lives on the thread that runs `io`.
class Discoveries {
 public:
  using OnChange = std::function<void(const std::string& cluster)>;
  using Known = std::function<std::vector<Endpoint>(const std::string& cluster)>;

  /// `on_change` is called when find() gives something else for a cluster, but not by use().
  Discoveries(boost::asio::io_context& io, OnChange on_change);
  ~Discoveries();
  Discoveries(const Discoveries&) = delete;
  Discoveries& operator=(const Discoveries&) = delete;

  /// Follows exactly what `config` says from now on. Clusters whose discovery is as it was go on, and their
  /// files are read anew; the others begin with what `known` gives for them, until their first good answers.
  void use(const ProxyConfig& config, const Known& known);

  /// nullptr: the cluster lists its endpoints itself. Valid until the next change.
  const ClusterEndpoints* find(const std::string& cluster) const;
  /// Each has been answered once, well or badly.
  bool settled() const;
  /// The clusters for which that is not so, in alphabetical order.
  std::vector<std::string> unsettled() const;
  /// In the order of the names.
  std::vector<DiscoveryStatus> status() const;

 private:
  void watch_files();
  void read_files();

  boost::asio::io_context& io_;
  const OnChange on_change_;
  bool in_use_ = false;
  std::map<std::string, std::unique_ptr<ClusterDiscovery>> clusters_;
  FileWatch files_;
};

}  // namespace sluice::control
