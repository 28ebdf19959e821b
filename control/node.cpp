#include "control/node.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "control/log_line.h"
#include "dataplane/l4/dpdk_log.h"

namespace sluice::control {

namespace {

/// The first ARP and ND answers are waited for so long before traffic is taken.
constexpr std::chrono::milliseconds kFirstNextHopsLimit{1500};

/// The part of the file that only a restart can change, by its name in the file; "" if it is the same.
std::string changed_at_start_only(const Config& now, const Config& wanted) {
  if (now.ports != wanted.ports) return "ports";
  if (now.workers != wanted.workers) return "workers";
  if (now.dpdk != wanted.dpdk) return "dpdk";
  if (now.node.run_dir != wanted.node.run_dir) return "node.run_dir";
  if (now.announce != wanted.announce) return "announce";
  if (now.metrics != wanted.metrics) return "metrics";
  if (now.log.to != wanted.log.to) return "log.to";
  return "";
}

void log_announcement_changes(const std::vector<Announcement>& before, const std::vector<Announcement>& now) {
  const auto was_announced = [&](const Announcement& one) {
    return std::any_of(before.begin(), before.end(),
                       [&](const Announcement& old) { return old.address == one.address && old.announced; });
  };
  for (const Announcement& one : now) {
    if (one.announced == was_announced(one)) continue;
    if (one.announced) {
      spdlog::info("event=vip_announced address={}", one.address.to_string());
    } else {
      spdlog::warn("event=vip_withdrawn address={} reason={}", one.address.to_string(),
                   log_quoted(one.reason));
    }
  }
}

}  // namespace

Node::Node(boost::asio::io_context& io, Config config, std::string config_path)
    : io_(io), config_(std::move(config)), config_path_(std::move(config_path)) {}

Result<std::unique_ptr<Node>> Node::start(boost::asio::io_context& io, Config config,
                                          std::string config_path) {
  std::unique_ptr<Node> node(new Node(io, std::move(config), std::move(config_path)));
  if (auto opened = node->open(); !opened) return tl::unexpected(opened.error());
  return node;
}

Result<void> Node::open() {
  auto engine = l4::Engine::open(config_.dpdk, config_.ports, config_.workers);
  if (!engine) return tl::unexpected(engine.error());
  engine_ = std::move(*engine);
  flow_surveys_.emplace(io_, *engine_, [this] { return backend_idle_timeouts(config_.services, ids_); });
  // What the drivers say from here on is about traffic.
  l4::pass_dpdk_log(
      [](std::string_view line) { spdlog::error("event=driver_error message={}", log_quoted(line)); });

  if (config_.announce) {
    auto announcer = Announcer::open(config_.announce->device, config_.announce->drain_device);
    if (!announcer) return tl::unexpected(announcer.error());
    announcer_.emplace(std::move(*announcer));
  }

  std::vector<std::string> interfaces;
  for (const l4::PortSettings& port : config_.ports) {
    if (port.kind == l4::PortKind::kAfXdp) interfaces.push_back(port.device);
  }
  if (!interfaces.empty()) {
    next_hops_ = std::make_unique<NextHops>(io_, interfaces, [this] { on_next_hop_change(); });
    if (auto started = next_hops_->start(); !started) return started;
    track_next_hops(config_.services);
    next_hops_->run_until_settled(kFirstNextHopsLimit);
  }
  // The right to load it does not last; whether it will be needed, a later change of services decides.
  reply_filter_ = bpf::ReplyFilter::load();
  // Backends are believed in at the start, so that a restart does not interrupt them; but nothing is
  // announced before each was checked once.
  health_ = std::make_unique<HealthChecks>(io_, [this] { on_health_change(); });
  if (auto checked = check_health(config_.services, true); !checked) return checked;
  watch_traffic();
  return publish(config_.services);
}

Node::~Node() {
  stop();
}

Result<void> Node::apply(Config config) {
  if (const std::string part = changed_at_start_only(config_, config); !part.empty()) {
    return fail(fmt::format("'{}' cannot change while sluiced runs: restart it to use the new file", part));
  }
  // Next hops of new backends are asked for first; known ones answer at once.
  track_next_hops(config.services);
  auto done = check_health(config.services, false);
  if (done) done = publish(config.services);
  if (!done) {
    track_next_hops(config_.services);
    (void)check_health(config_.services, false);
    return done;
  }
  config_ = std::move(config);
  ++applied_;
  return {};
}

Result<void> Node::publish(const Services& services) {
  const auto egress = [this](const Backend& backend) -> std::optional<Egress> {
    const auto way = egress_of(backend);
    return way ? std::optional(*way) : std::nullopt;
  };
  const auto began = std::chrono::steady_clock::now();
  std::vector<PoolHealth> pools = assess(services);
  const Services effective = with_effective_states(services, pools);
  auto table = ForwardingTable::build(effective, egress, ids_, engine_->table());
  if (!table) {
    ++table_failures_;
    return tl::unexpected(table.error());
  }
  const auto built_at = std::chrono::steady_clock::now();
  const ForwardingTable* built = table->get();
  ++generation_;
  auto published = engine_->publish(std::move(*table), services.vips);
  const std::chrono::duration<double> build = built_at - began;
  const std::chrono::duration<double> publish = std::chrono::steady_clock::now() - built_at;
  table_build_times_.observe(build.count());
  table_publish_times_.observe(publish.count());
  if (!published) ++table_failures_;
  spdlog::debug("event=table_published generation={} build_ms={:.1f} publish_ms={:.1f}", generation_,
                build.count() * 1e3, publish.count() * 1e3);
  // The older table is gone, so nobody uses the numbers that only it had.
  built->release_ids(ids_);
  announce(services, pools);
  pool_health_ = std::move(pools);
  return published;
}

std::vector<PoolHealth> Node::assess(const Services& services) const {
  std::vector<PoolHealth> pools;
  for (const Pool& pool : services.pools) {
    std::vector<bool> healthy;
    std::vector<bool> leaving;
    for (const Backend& backend : pool.backends) {
      const BackendHealth* health = health_of(pool, backend);
      healthy.push_back(health == nullptr || health->healthy);
      leaving.push_back(health != nullptr && health->leaving);
    }
    pools.push_back(assess_pool(pool, healthy, leaving));
  }
  return pools;
}

const BackendHealth* Node::health_of(const Pool& pool, const Backend& backend) const {
  if (pool.health.kind == HealthCheckKind::kNone) return nullptr;
  return health_->find(pool.name, backend.address);
}

Result<void> Node::check_health(const Services& services, bool trusted) {
  std::vector<HealthTarget> targets;
  for (const Pool& pool : services.pools) {
    if (pool.health.kind == HealthCheckKind::kNone) continue;
    for (const Backend& backend : pool.backends) {
      const auto port = health_port(services, pool, backend);
      HealthTarget& target = targets.emplace_back(HealthTarget{
          pool.name, backend.name, backend.address, port.value_or(0), pool.health, pool.policy, trusted, {}});
      if (pool.health.via == HealthCheckVia::kTunnel) target.vip = health_vip(services, pool, target.port);
    }
  }
  if (auto ready = ready_tunnel(services.tunnel, targets); !ready) return ready;
  health_->set_targets(targets);
  return {};
}

Result<void> Node::ready_tunnel(const Tunnel& tunnel, const std::vector<HealthTarget>& targets) {
  std::vector<IpAddress> vips;
  for (const HealthTarget& target : targets) {
    if (target.vip) vips.push_back(*target.vip);
  }
  if (vips.empty() && tunnel_ == nullptr) return {};
  if (tunnel_ == nullptr) {
    if (!reply_filter_) return tl::unexpected(reply_filter_.error());
    auto opened = CheckTunnel::open(io_, *reply_filter_);
    if (!opened) return tl::unexpected(opened.error());
    tunnel_ = std::move(*opened);
    health_->set_tunnel(tunnel_.get());
  }
  return tunnel_->configure(tunnel, std::move(vips));
}

void Node::watch_traffic() {
  passive_watch_.emplace(
      io_, [this]() -> const std::vector<Pool>& { return config_.services.pools; },
      [this](const Pool& pool, const Backend& backend) { return passive_signals(pool, backend); },
      [this](const Pool& pool, const Backend& backend, const std::string& what, std::chrono::seconds hold) {
        health_->report_passive_failure(pool.name, backend.address, what, hold);
      });
}

PassiveSignals Node::passive_signals(const Pool& pool, const Backend& backend) const {
  PassiveSignals sum;
  const auto id = ids_.backends.find(ForwardingIds::backend_name(pool, backend));
  if (!id) return sum;
  for (const auto& worker : engine_->workers()) {
    const l4::BackendSignals& signals = worker->counters().signals[*id];
    sum.packets += worker->counters().backends[*id].packets.read();
    sum.syns += signals.syns.read();
    sum.syns_again += signals.syns_again.read();
    sum.unreachable_errors += signals.unreachable_errors.read();
  }
  return sum;
}

void Node::on_health_change() {
  if (auto published = publish(config_.services); !published) {
    spdlog::error("event=publish_failed error={}", log_quoted(published.error().message));
  }
}

void Node::announce(const Services& services, const std::vector<PoolHealth>& pools) {
  auto planned = plan_announcements(services, pools, drain_);
  first_checks_done_ = first_checks_done_ || health_->settled();
  if (!announcer_ || !first_checks_done_) {
    for (Announcement& one : planned) {
      one.announced = false;
      one.reason = announcer_ ? "the first health checks are not done" : "the config has no 'announce'";
    }
  }
  std::vector<Prefix> addresses;
  for (const Announcement& one : planned) {
    if (one.announced) addresses.push_back(one.address);
  }
  if (announcer_) {
    if (auto done = announcer_->announce(addresses, drain_ == NodeDrain::kLeaving); !done) {
      spdlog::error("event=announce_failed error={}", log_quoted(done.error().message));
      for (Announcement& one : planned) {
        const auto& there = announcer_->announced();
        if (!one.announced || std::binary_search(there.begin(), there.end(), one.address)) continue;
        one.announced = false;
        one.reason = done.error().message;
      }
    }
  }
  log_announcement_changes(announcements_, planned);
  announcements_ = std::move(planned);
}

void Node::drain(bool draining) {
  if (draining == this->draining()) return;
  const auto delay = config_.announce ? config_.announce->drain_delay : std::chrono::seconds(0);
  drain_ = !draining ? NodeDrain::kNone : delay.count() > 0 ? NodeDrain::kLeaving : NodeDrain::kDone;
  spdlog::info("event=node_{} withdrawal_in={}s", draining ? "drain" : "undrain",
               draining ? delay.count() : 0);
  announce(config_.services, pool_health_);
  drain_timer_.cancel();
  if (drain_ != NodeDrain::kLeaving) return;
  drain_timer_.expires_after(delay);
  drain_timer_.async_wait([this](const boost::system::error_code& error) {
    if (error || drain_ != NodeDrain::kLeaving) return;
    drain_ = NodeDrain::kDone;
    announce(config_.services, pool_health_);
  });
}

void Node::withdraw() {
  if (announcer_) (void)announcer_->announce({}, drain_ == NodeDrain::kLeaving);
}

void Node::track_next_hops(const Services& services) {
  if (next_hops_ == nullptr) return;
  std::vector<IpAddress> addresses;
  for (const Pool& pool : services.pools) {
    for (const Backend& backend : pool.backends) {
      if (!backend.next_hop) addresses.push_back(backend.address);
    }
  }
  std::sort(addresses.begin(), addresses.end());
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
  next_hops_->track(addresses);
}

void Node::on_next_hop_change() {
  if (generation_ == 0) return;  // the first table is still to come
  if (auto published = publish(config_.services); !published) {
    spdlog::error("event=publish_failed error={}", log_quoted(published.error().message));
    return;
  }
  for (const Pool& pool : config_.services.pools) {
    for (const Backend& backend : pool.backends) {
      if (const auto way = egress_of(backend); !way) {
        spdlog::warn("event=backend_unresolved pool={} backend={} address={} reason={}", pool.name,
                     backend.name, backend.address.to_string(), log_quoted(way.error().message));
      }
    }
  }
  spdlog::info("event=next_hops_changed generation={}", generation_);
}

std::optional<uint16_t> Node::port_index(const std::string& name) const {
  for (size_t i = 0; i < config_.ports.size(); ++i) {
    if (config_.ports[i].name == name) return static_cast<uint16_t>(i);
  }
  return std::nullopt;
}

Result<Egress> Node::egress_of(const Backend& backend) const {
  if (backend.next_hop) {
    const auto index = port_index(backend.next_hop->port);
    if (!index) return fail(fmt::format("there is no port '{}'", backend.next_hop->port));
    const l4::Port& port = engine_->ports()[*index];
    return Egress{*index, port.mac(), backend.next_hop->mac, port.settings().mtu};
  }
  if (next_hops_ == nullptr) {
    return fail("no port has a kernel side that knows routes; set next_hop");
  }
  const auto hop = next_hops_->find(backend.address);
  if (!hop) return tl::unexpected(hop.error());
  for (size_t i = 0; i < config_.ports.size(); ++i) {
    if (config_.ports[i].kind == l4::PortKind::kAfXdp && config_.ports[i].device == hop->interface) {
      return Egress{static_cast<uint16_t>(i), hop->source, hop->destination,
                    static_cast<uint16_t>(std::min<uint32_t>(hop->mtu, UINT16_MAX))};
    }
  }
  return fail(fmt::format("the route goes out by '{}', which is no port", hop->interface));
}

void Node::stop() {
  passive_watch_.reset();
  health_.reset();
  if (next_hops_ != nullptr) next_hops_->stop();
  if (engine_ != nullptr) engine_->stop();
}

}  // namespace sluice::control
