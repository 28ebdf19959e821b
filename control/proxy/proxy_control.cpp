#include "control/proxy/proxy_control.h"

#include <spdlog/spdlog.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include "control/log.h"
#include "control/log_line.h"
#include "control/proxy/fixed_fields.h"
#include "control/proxy/proxy_limits.h"

namespace sluice::control {
namespace {

constexpr std::chrono::milliseconds kDrainTick{50};
constexpr std::chrono::milliseconds kConnectFailureTick{1000};
// Clients that all come back at one moment are a wave for the other proxies.
constexpr std::chrono::milliseconds kGoawaySpread{1000};
// Between the two steps: a round trip, and time for a connection that has just been made to say what it
// wants.
constexpr std::chrono::milliseconds kGoawayNotice{500};
// Spans that the collector does not take in this time are lost.
constexpr std::chrono::milliseconds kSpansFlush{3000};

/// `settings` with the endpoints that are discovered: `known` gives those of a cluster.
std::shared_ptr<l7::ProxySettings> with_discovered(const ProxyConfig& config,
                                                   const Discoveries::Known& known) {
  auto settings = std::make_shared<l7::ProxySettings>(config.settings);
  for (size_t i = 0; i < config.care.size(); ++i) {
    if (config.care[i].discovery) settings->clusters[i].endpoints = known(settings->clusters[i].name);
  }
  return settings;
}

/// What is published of a cluster, without what checks and detector say of it.
std::vector<Endpoint> published(const l7::ProxySnapshot& snapshot, const std::string& cluster) {
  const auto found = snapshot.clusters.find(cluster);
  if (found == snapshot.clusters.end()) return {};
  const auto all = found->second.endpoints->endpoints();
  std::vector<Endpoint> endpoints(all.begin(), all.end());
  for (Endpoint& endpoint : endpoints) {
    endpoint.healthy = true;
    endpoint.ejected = endpoint.draining = false;
  }
  return endpoints;
}

}  // namespace

ProxyControl::ProxyControl(boost::asio::io_context& io, ProxyConfig config)
    : io_(io),
      config_(std::move(config)),
      checks_(io, [this] { update_all(); }),
      discoveries_(io, [this](const std::string& cluster) { on_discovered(cluster); }),
      tick_timer_(io),
      drain_timer_(io),
      connect_failures_timer_(io) {
  checks_.set_observer([this](const CheckedEvent& event) {
    // See target_of(): what is behind the last slash is the endpoint.
    const std::string_view pool = event.target.pool;
    event_log_.checked(pool.substr(0, pool.rfind('/')), event);
  });
}

ProxyControl::~ProxyControl() {
  stop();
}

Result<std::unique_ptr<ProxyControl>> ProxyControl::start(boost::asio::io_context& io, ProxyConfig config,
                                                          const HandoverOffer* from, const OnWait& on_wait) {
  fill_limits(config.settings);
  std::unique_ptr<ProxyControl> control(new ProxyControl(io, std::move(config)));
  auto logs = control->access_log_.open(control->config_.settings);
  if (!logs) return tl::unexpected(logs.error());
  auto event_log = HealthEventLog::open(control->config_);
  if (!event_log) return tl::unexpected(event_log.error());
  control->event_log_ = *std::move(event_log);
  if (auto discovered = control->discover(on_wait); !discovered) return tl::unexpected(discovered.error());
  const auto discovered = [&control](const std::string& cluster) {
    const ClusterEndpoints* found = control->discoveries_.find(cluster);
    return found == nullptr ? std::vector<Endpoint>{} : found->endpoints;
  };
  std::shared_ptr<l7::TlsTicketKeys> keys;
  if (from != nullptr) {
    control->known_unhealthy_.insert(from->unhealthy.begin(), from->unhealthy.end());
    if (from->ticket_keys)
      keys = std::make_shared<l7::TlsTicketKeys>(*from->ticket_keys, l7::TlsTicketKeys::Clock::now());
  }
  auto snapshot = l7::build_snapshot(with_discovered(control->config_, discovered), nullptr,
                                     std::chrono::steady_clock::now(), std::move(keys));
  if (!snapshot) return tl::unexpected(snapshot.error());
  for (const std::string& warning : snapshot->tls->warnings)
    spdlog::warn("event=tls_warning text={}", log_quoted(warning));
  ProxyControl* self = control.get();
  auto proxy = l7::Proxy::start(
      *std::move(snapshot),
      {.on_streak = [self](const auto&) { boost::asio::post(self->io_, [self] { self->tick(); }); },
       .on_listen_failure =
           [self](const std::string& error) {
             boost::asio::post(self->io_, [error] {
               spdlog::error("event=listener_failed error={} advice=\"restart\"", log_quoted(error));
             });
           }},
      from == nullptr ? l7::BoundSockets{} : from->sockets);
  if (!proxy) return tl::unexpected(proxy.error());
  control->proxy_ = *std::move(proxy);
  control->access_log_.use(*std::move(logs), control->proxy_->snapshot().access_log);
  control->export_spans();
  control->watch_outliers();
  control->check_endpoints();
  if (!control->known_unhealthy_.empty()) control->update_all();
  control->known_unhealthy_.clear();
  control->tick();
  control->log_connect_failures();
  return control;
}

Result<l7::ProxySnapshot> ProxyControl::prepare(const ProxyConfig& config) const {
  if (auto same = check_fixed_fields(config_, config); !same) return tl::unexpected(same.error());
  // A cluster whose discovery begins now, or begins anew, goes on with what it has.
  const auto known = [this](const std::string& cluster) { return published(proxy_->snapshot(), cluster); };
  return l7::build_snapshot(with_discovered(config, known), &proxy_->snapshot(),
                            std::chrono::steady_clock::now());
}

Result<void> ProxyControl::check(ProxyConfig config) const {
  fill_limits(config.settings);
  if (auto prepared = prepare(config); !prepared) return tl::unexpected(prepared.error());
  return {};
}

Result<void> ProxyControl::apply(ProxyConfig config) {
  fill_limits(config.settings);
  auto logs = access_log_.open(config.settings);
  if (!logs) return tl::unexpected(logs.error());
  const auto known = [this](const std::string& cluster) { return published(proxy_->snapshot(), cluster); };
  auto snapshot = prepare(config);
  if (!snapshot) return tl::unexpected(snapshot.error());
  auto event_log = HealthEventLog::open(config);
  if (!event_log) return tl::unexpected(event_log.error());
  const auto tls = snapshot->tls;
  // Before the first line for a new file.
  const auto rings = snapshot->access_log;
  const auto logs_before = access_log_.targets();
  access_log_.use(*std::move(logs), rings);
  if (auto applied = proxy_->apply(*std::move(snapshot)); !applied) {
    access_log_.use(logs_before, rings);
    return applied;
  }
  for (const std::string& warning : tls->warnings)
    spdlog::warn("event=tls_warning text={}", log_quoted(warning));
  // What `sluicectl proxy log-level` has said holds as long as the file says the same as before.
  if (config.log.level != config_.log.level) set_log_level(config.log.level);
  config_ = std::move(config);
  event_log_ = *std::move(event_log);
  export_spans();
  ++generation_;
  forget_drained();
  watch_outliers();
  discoveries_.use(config_, known);
  check_endpoints();
  update_all();
  tick();  // with the first detector the ticking begins
  return {};
}

// Listening before anything is known of a cluster would be refusing its first requests.
Result<void> ProxyControl::discover(const OnWait& on_wait) {
  discoveries_.use(config_, [](const std::string& /*cluster*/) { return std::vector<Endpoint>{}; });
  const auto until = std::chrono::steady_clock::now() + config_.discovery_wait;
  {
    // With work left, io_ is stopped by nobody but who wants the process to end.
    const auto work = boost::asio::make_work_guard(io_);
    while (!discoveries_.settled() && std::chrono::steady_clock::now() < until) {
      if (on_wait) on_wait(discoveries_.unsettled());
      io_.run_one_until(until);
      if (io_.stopped()) return fail("stopped while it waited for the first answers of discovery");
    }
  }
  if (io_.stopped()) io_.restart();
  if (discoveries_.settled()) return {};
  spdlog::warn("event=discovery_late waited_ms={} error={}", config_.discovery_wait.count(),
               log_quoted("not all clusters have had an answer; until then they have no endpoints"));
  return {};
}

// Spans of requests that began under a configuration with tracing are sent on under one without.
void ProxyControl::export_spans() {
  if (!config_.tracing) return;
  if (exporter_) {
    exporter_->use(*config_.tracing);
  } else {
    exporter_ = OtlpExporter::start(*config_.tracing, config_.name, SLUICE_VERSION, proxy_->snapshot().spans);
  }
}

// No connection failing is an event of its own: it is looked at what the workers have noted.
void ProxyControl::log_connect_failures() {
  for (const ConnectFailureLine& line :
       connect_failures_.look(proxy_->snapshot(), std::chrono::system_clock::now())) {
    spdlog::warn("event=connect_failed cluster={} endpoint={} failures={} error={}", line.cluster,
                 line.endpoint.to_string(), line.failures, log_quoted(line.why));
  }
  connect_failures_timer_.expires_after(kConnectFailureTick);
  connect_failures_timer_.async_wait([this](const auto& cancelled) {
    if (!cancelled) log_connect_failures();
  });
}

uint64_t ProxyControl::Remains::clients() const {
  uint64_t sum = 0;
  for (const auto& [name, load] : listeners) sum += load.clients;
  return sum;
}

uint64_t ProxyControl::Remains::streams() const {
  uint64_t sum = 0;
  for (const auto& [name, load] : listeners) sum += load.streams;
  return sum;
}

HandoverOffer ProxyControl::offer() const {
  HandoverOffer offer;
  offer.sockets = proxy_->sockets();
  offer.ticket_keys = proxy_->snapshot().tls->ticket_keys->state(l7::TlsTicketKeys::Clock::now());
  for (size_t i = 0; i < config_.settings.clusters.size(); ++i) {
    for (const Endpoint& endpoint : endpoints_of(i).endpoints) {
      const std::string target = target_of(i, endpoint.id);
      const BackendHealth* health = checks_.find(target, endpoint.id.address);
      if (health != nullptr && !health->healthy) offer.unhealthy.push_back(target);
    }
  }
  return offer;
}

void ProxyControl::turn_health(bool draining) {
  if (leaving_) return;
  draining_ = draining;
  proxy_->turn_health(draining);
}

void ProxyControl::drain(std::function<void(const Remains&)> done) {
  turn_health(true);
  leaving_ = true;
  drain_timer_.expires_after(config_.drain_delay);
  drain_timer_.async_wait([this, done = std::move(done)](const auto& cancelled) mutable {
    if (!cancelled) leave(std::move(done));
  });
}

void ProxyControl::leave(std::function<void(const Remains&)> done) {
  leaving_ = true;
  const auto until = std::chrono::steady_clock::now() + config_.drain_time;
  proxy_->drain(std::min<std::chrono::milliseconds>(kGoawayNotice, config_.drain_time / 4),
                std::min<std::chrono::milliseconds>(kGoawaySpread, config_.drain_time / 2));
  wait_for_end(until, std::move(done));
}

void ProxyControl::wait_for_end(std::chrono::steady_clock::time_point until,
                                std::function<void(const Remains&)> done) {
  const bool empty = proxy_->clients() == 0;
  if (empty || std::chrono::steady_clock::now() >= until) {
    // A client that had waited to be accepted may not be counted yet: the workers know.
    const Remains left{proxy_->load()};
    if (!empty || left.clients() == 0) {
      done(left);
      return;
    }
  }
  drain_timer_.expires_after(kDrainTick);
  drain_timer_.async_wait([this, until, done = std::move(done)](const auto& cancelled) mutable {
    if (!cancelled) wait_for_end(until, std::move(done));
  });
}

void ProxyControl::stop() {
  if (proxy_) proxy_->stop();
  access_log_.stop();
  if (exporter_) exporter_->finish(kSpansFlush);
}

}  // namespace sluice::control
