// One running L4 node: its configuration, the packet engine and the next hops, kept in step.
//
// Everything that changes what packets do ends in publish(): a new forwarding table from the services and the
// next hops as they are known now.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "control/announcer.h"
#include "control/check_tunnel.h"
#include "control/config.h"
#include "control/flow_surveys.h"
#include "control/health/health_checks.h"
#include "control/metrics/node_snapshot.h"
#include "control/next_hops.h"
#include "control/passive_watch.h"
#include "dataplane/bpf/reply_filter.h"
#include "dataplane/l4/engine.h"
#include "lb/announcement.h"
#include "lb/forwarding_table.h"
#include "lb/pool_health.h"
#include "lb/result.h"

namespace sluice::control {

class Node {
 public:
  /// Starts the engine and the next hops and publishes the first table. Errors say what to do; nothing is
  /// left behind. `io` is the control thread's.
  static Result<std::unique_ptr<Node>> start(boost::asio::io_context& io, Config config,
                                             std::string config_path);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  /// Puts another configuration in place. All of it or, with an Error, nothing: also if it changes what only
  /// a restart can (ports, workers, dpdk, node).
  Result<void> apply(Config config);

  /// Withdraws all VIPs, after announce.drain_delay in which routers are asked to prefer other nodes; or
  /// announces again what can be served. Traffic that still comes is forwarded.
  void drain(bool draining);
  bool draining() const { return drain_ != NodeDrain::kNone; }

  /// Withdraws all VIPs. How long packets may still come, routers being slow, the caller must know.
  void withdraw();
  /// Empties the queues and stops the workers.
  void stop();

  const Config& config() const { return config_; }
  const std::string& config_path() const { return config_path_; }
  const l4::Engine& engine() const { return *engine_; }
  const ForwardingIds& ids() const { return ids_; }
  FlowSurveys& flow_surveys() { return *flow_surveys_; }
  /// Counts the tables published since the start.
  uint64_t generation() const { return generation_; }
  /// Counts the configurations put in place: as long as it is the same, config() is.
  uint64_t applied() const { return applied_; }
  const TableTimes& table_build_times() const { return table_build_times_; }
  const TableTimes& table_publish_times() const { return table_publish_times_; }
  /// Tables that could not be built or put in place.
  uint64_t table_failures() const { return table_failures_; }
  std::chrono::system_clock::time_point started() const { return started_; }

  /// One per pool of config().services.
  const std::vector<PoolHealth>& pool_health() const { return pool_health_; }
  /// One per VIP address; all without announcement when the config has no `announce`.
  const std::vector<Announcement>& announcements() const { return announcements_; }

  /// What checks know of a backend; nullptr if it is not checked.
  const BackendHealth* health_of(const Pool& pool, const Backend& backend) const;

  /// What the workers' traffic says about a backend, in total.
  PassiveSignals passive_signals(const Pool& pool, const Backend& backend) const;

  /// How frames leave for a backend now, or in words why they do not.
  Result<Egress> egress_of(const Backend& backend) const;

 private:
  Node(boost::asio::io_context& io, Config config, std::string config_path);
  Result<void> open();
  /// Builds a table of `services`, publishes it and makes them the current ones.
  Result<void> publish(const Services& services);
  std::vector<PoolHealth> assess(const Services& services) const;
  Result<void> check_health(const Services& services, bool trusted);
  Result<void> ready_tunnel(const Tunnel& tunnel, const std::vector<HealthTarget>& targets);
  void on_health_change();
  void watch_traffic();
  void announce(const Services& services, const std::vector<PoolHealth>& pools);
  void track_next_hops(const Services& services);
  void on_next_hop_change();
  std::optional<uint16_t> port_index(const std::string& name) const;

  boost::asio::io_context& io_;
  Config config_;
  std::string config_path_;
  std::chrono::system_clock::time_point started_ = std::chrono::system_clock::now();
  std::unique_ptr<l4::Engine> engine_;
  std::unique_ptr<NextHops> next_hops_;  ///< absent if no port has a kernel side
  /// Loaded at the start, while there is the right to; used by tunnel_.
  Result<bpf::ReplyFilter> reply_filter_ = fail("not loaded");
  std::unique_ptr<CheckTunnel> tunnel_;  ///< absent until a pool is checked through it
  std::unique_ptr<HealthChecks> health_;
  std::optional<PassiveWatch> passive_watch_;
  bool first_checks_done_ = false;  ///< nothing is announced before
  ForwardingIds ids_;
  std::optional<FlowSurveys> flow_surveys_;
  uint64_t generation_ = 0;
  uint64_t applied_ = 1;
  TableTimes table_build_times_{kTableTimeBounds};
  TableTimes table_publish_times_{kTableTimeBounds};
  uint64_t table_failures_ = 0;
  std::vector<PoolHealth> pool_health_;
  std::optional<Announcer> announcer_;
  std::vector<Announcement> announcements_;
  NodeDrain drain_ = NodeDrain::kNone;
  boost::asio::steady_timer drain_timer_{io_};
};

}  // namespace sluice::control
