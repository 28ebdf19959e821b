// The control side of sluice-proxy: configuration that changes while it runs, health checks, ejections, and
// the end.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "control/health/health_checks.h"
#include "control/proxy/access_log_writer.h"
#include "control/proxy/connect_failure_log.h"
#include "control/proxy/discoveries.h"
#include "control/proxy/handover.h"
#include "control/proxy/health_event_log.h"
#include "control/proxy/otlp_exporter.h"
#include "control/proxy/proxy_config.h"
#include "dataplane/l7/proxy.h"
#include "lb/l7/outlier_detector.h"

namespace sluice::control {

/// Lives on one thread: the one that runs `io`.
class ProxyControl {
 public:
  /// Told, while the start waits for discovery, of the clusters that have had no answer.
  using OnWait = std::function<void(const std::vector<std::string>& clusters)>;
  /// Starts workers and checks; runs `io` until clusters whose endpoints are discovered have some, or
  /// discovery_wait is over. Clients wait until accept(). `from`: what another process hands over, or
  /// nullptr. Errors say what to do; nothing is left running. Who stops `io` while it waits gets one, too.
  static Result<std::unique_ptr<ProxyControl>> start(boost::asio::io_context& io, ProxyConfig config,
                                                     const HandoverOffer* from = nullptr,
                                                     const OnWait& on_wait = {});
  ~ProxyControl();
  ProxyControl(const ProxyControl&) = delete;
  ProxyControl& operator=(const ProxyControl&) = delete;

  /// Goes on under another configuration. On an error nothing has changed.
  Result<void> apply(ProxyConfig config);
  /// Whether apply() would take it, as far as that can be told without opening sockets and log files.
  Result<void> check(ProxyConfig config) const;

  /// Takes clients from now on.
  void accept() { proxy_->accept(); }

  /// What is left of clients and their requests when a drain ends.
  struct Remains {
    std::map<std::string, l7::ListenerLoad> listeners;  ///< by name; those that have some
    uint64_t clients() const;
    uint64_t streams() const;
  };
  /// Turns the answer to health checks, takes no new connections after drain_delay, asks clients to go, and
  /// calls `done` when the last one has, or when drain_time is over with some still there.
  void drain(std::function<void(const Remains&)> done);
  /// The same for a process that another one has taken over from: it is at once, and health is what the other
  /// one says.
  void leave(std::function<void(const Remains&)> done);
  /// What another process needs to go on where this one is; version and upgrade socket are left out.
  HandoverOffer offer() const;
  /// Has health checks answered with 503, or with 200 again, and nothing else. No way back from drain().
  void turn_health(bool draining);
  void stop();
  /// Opens the files of access logs anew. On an error they are as before.
  Result<void> reopen_access_logs() { return access_log_.reopen(); }

  /// The operator's word on one endpoint, for as long as this process runs: no new requests, or requests
  /// again; those under way end. False: there is no such endpoint.
  bool drain_endpoint(const std::string& cluster, const EndpointId& id, bool drain);

  const ProxyConfig& config() const { return config_; }
  /// All zero if nothing was ever traced.
  TraceExportCounts trace_export() const { return exporter_ ? exporter_->counts() : TraceExportCounts(); }
  const l7::Proxy& proxy() const { return *proxy_; }
  const Discoveries& discoveries() const { return discoveries_; }
  l7::Proxy& proxy() { return *proxy_; }
  /// Health checks are answered with 503.
  bool draining() const { return draining_; }
  /// Configurations put in force so far, the first included.
  uint64_t generation() const { return generation_; }
  /// What checks say of an endpoint; nullptr: it is not checked. Valid until the next apply().
  const BackendHealth* health_of(size_t cluster, const EndpointId& id) const;
  /// nullptr: nobody is ejected in that cluster.
  const OutlierDetector* detector_of(const std::string& cluster) const;

 private:
  /// A cluster's endpoints now, and where each is checked.
  struct KnownEndpoints {
    std::span<const Endpoint> endpoints;
    std::span<const uint16_t> check_ports;
  };
  KnownEndpoints endpoints_of(size_t cluster) const;
  Result<void> discover(const OnWait& on_wait);
  void on_discovered(const std::string& cluster);
  ProxyControl(boost::asio::io_context& io, ProxyConfig config);
  Result<l7::ProxySnapshot> prepare(const ProxyConfig& config) const;
  void forget_drained();
  void check_endpoints();
  void watch_outliers();
  void update(size_t cluster);
  void update_all();
  void export_spans();
  void tick();
  void log_connect_failures();
  void log_outliers(size_t cluster, const std::vector<OutlierEvent>& events);
  void wait_for_end(std::chrono::steady_clock::time_point until, std::function<void(const Remains&)> done);
  std::string target_of(size_t cluster, const EndpointId& id) const;

  boost::asio::io_context& io_;
  ProxyConfig config_;
  std::unique_ptr<l7::Proxy> proxy_;
  HealthEventLog event_log_;
  AccessLogWriter access_log_;
  std::unique_ptr<OtlpExporter> exporter_;  // once there was tracing
  HealthChecks checks_;
  Discoveries discoveries_;
  std::unordered_map<std::string, std::unique_ptr<OutlierDetector>> detectors_;
  std::set<std::string> known_unhealthy_;                 // to the process before this one
  std::set<std::pair<std::string, EndpointId>> drained_;  // by the operator; cluster and endpoint
  bool draining_ = false;
  bool leaving_ = false;  // drain() was called
  uint64_t generation_ = 1;
  boost::asio::steady_timer tick_timer_;
  boost::asio::steady_timer drain_timer_;
  ConnectFailureLog connect_failures_;
  boost::asio::steady_timer connect_failures_timer_;
};

}  // namespace sluice::control
