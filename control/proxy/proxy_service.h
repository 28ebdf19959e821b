// The running sluice-proxy: starts everything, takes over from the one before, follows signals, hands over to
// the next.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/api_server.h"
#include "control/event_log.h"
#include "control/metrics/metrics_server.h"
#include "control/proxy/config_in_force.h"
#include "control/proxy/handover_server.h"
#include "control/proxy/proxy_control.h"
#include "control/proxy/proxy_file.h"
#include "control/proxy/proxy_metrics.h"
#include "control/proxy/successor.h"
#include "control/proxy/takeover.h"
#include "control/run_as.h"
#include "control/service_manager.h"

namespace sluice::control {

class ProxyService {
 public:
  struct Given {
    ProxyFile file;        ///< the configuration
    bool upgrade = false;  ///< take over from the one that runs with it
  };

  /// To be made before any thread is, so that none of them takes a signal.
  ProxyService(Given given, ServiceManager& manager);
  ProxyService(const ProxyService&) = delete;
  ProxyService& operator=(const ProxyService&) = delete;

  /// Starts everything, accepts, and is ready. Errors are for stderr; where there was a process before this
  /// one, that one goes on.
  Result<void> start(LoadedProxyFile loaded);
  /// Whether start() came back with an error because SIGTERM came before it was done: that is a stop as any
  /// other.
  bool stopped_early() const { return stopped_early_; }
  /// Until SIGTERM, or until another process has taken over, and the last client has gone or drain_time is
  /// over.
  void run();

 private:
  const ProxyConfig& config() const { return control_->config(); }
  Result<void> open_api(const std::string& path, const std::optional<RunAs>& who);
  std::string why_not_yet() const;
  void serve_api(std::string text);
  void open_api_late(int tries);
  std::string metrics_text();
  Result<void> may_change() const;
  Result<void> open_metrics();
  Result<void> restrict_process(const std::optional<RunAs>& who);
  void log_started();
  void wait_for_upgrade(ListeningSocket socket);
  void hand_over(pid_t successor);
  void drain(const std::string& why);
  void end(const ProxyControl::Remains& left);
  void reload();
  void reopen_access_logs();
  void upgrade();
  void wait_for_early_signal();
  void wait_for_signal();
  void on_signal(int signal);
  void wait_for_upgrade_signal();
  void wait_for_rotation_signal();

  Given given_;
  ServiceManager& manager_;
  boost::asio::io_context io_;
  boost::asio::signal_set signals_;
  boost::asio::signal_set upgrades_;   // and what becomes of those that are started
  boost::asio::signal_set rotations_;  // of access logs
  Successor successor_;
  ProxyMetricsInput about_;
  EventLog events_;
  std::unique_ptr<ProxyControl> control_;
  std::unique_ptr<ConfigInForce> in_force_;
  std::unique_ptr<ApiServer> api_;
  boost::asio::steady_timer api_timer_;
  std::unique_ptr<MetricsServer> metrics_;
  std::unique_ptr<HandoverServer> upgrade_;
  std::vector<std::string> awaited_;  // clusters that the start waits for
  bool stopped_early_ = false;
  bool reload_due_ = false;  // SIGHUP came before there was something to reload
  bool leaving_ = false;
  int ends_ = 0;
};

}  // namespace sluice::control
