// The discovery of one cluster: what each of its sources said last, and what that makes together.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/proxy/cluster_endpoints.h"
#include "control/proxy/discoveries.h"
#include "control/proxy/dns_name_watch.h"
#include "control/proxy/proxy_config.h"

namespace sluice::control {

/// Lives on the thread that runs `io`.
class ClusterDiscovery {
 public:
  /// `begin_with`: taken for its endpoints until there are better ones. Names are asked for at once; a file
  /// is read by read_file().
  ClusterDiscovery(boost::asio::io_context& io, std::string cluster, const ClusterCare& care,
                   std::vector<Endpoint> begin_with, std::function<void()> on_change);
  ClusterDiscovery(const ClusterDiscovery&) = delete;
  ClusterDiscovery& operator=(const ClusterDiscovery&) = delete;

  const Discovery& settings() const { return settings_; }
  std::optional<uint16_t> health_port() const { return health_port_; }
  /// The file that is followed, or nullptr.
  const std::string* path() const;
  /// Reads it if it is one that is not what was read last. Logs and tells of changes.
  void read_file();

  const ClusterEndpoints& endpoints() const { return endpoints_; }
  bool settled() const;
  DiscoveryStatus status() const;

 private:
  using Clock = std::chrono::steady_clock;
  /// A name, or the file.
  struct Source {
    std::string name;
    ClusterEndpoints endpoints;  // of a name without check_ports
    bool has_answered = false;
    bool has_been_good = false;
    Clock::time_point good_at;  // the start, until it was good
    std::string error;          // what the log knows; "": good
  };

  void take(size_t source, DnsNameWatch::Report report);
  void on_good(Source& source);
  void on_trouble(Source& source, bool is_empty, const std::string& error);
  void join();
  ClusterEndpoints together() const;
  void publish(ClusterEndpoints endpoints);

  const std::string cluster_;
  const Discovery settings_;
  const std::optional<uint16_t> health_port_;
  const std::function<void()> on_change_;
  std::vector<Endpoint> begun_with_;  // empty as soon as all sources have been good
  ClusterEndpoints endpoints_;
  std::vector<Source> sources_;
  std::optional<std::string> file_text_;  // as read last
  DiscoveryStatus counts_;
  std::vector<std::unique_ptr<DnsNameWatch>> watches_;  // the last: they call us
};

}  // namespace sluice::control
