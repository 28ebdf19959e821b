#include "control/metrics/node_metrics.h"

#include <chrono>

#include "control/metrics/exposition.h"
#include "control/node_report.h"
#include "lb/cpu_clones.h"

namespace sluice::control {

namespace {

static_assert(static_cast<int>(PoolMode::kNormal) == 0 && static_cast<int>(PoolMode::kPanic) == 1 &&
                  static_cast<int>(PoolMode::kFailOpen) == 2 && static_cast<int>(PoolMode::kTooFew) == 3,
              "as sluice_pool_mode says");

/// The traffic of one id over all workers.
template <typename Numbers>
void add_traffic(const Node& node, const std::unique_ptr<TrafficCounter[]> l4::WorkerCounters::*list,
                 uint16_t id, Numbers& numbers) {
  for (const auto& worker : node.engine().workers()) {
    const TrafficCounter& counter = (worker->counters().*list)[id];
    numbers.packets += counter.packets.read();
    numbers.bytes += counter.bytes.read();
  }
}

}  // namespace

void NodeMetrics::make_labels() {
  auto labels = std::make_shared<ServiceLabels>();
  backend_ids_.clear();
  vip_ids_.clear();
  const Services& services = node_.config().services;
  for (const Vip& vip : services.vips) {
    vip_ids_.push_back(node_.ids().vips.find(vip.name).value_or(0));
    labels->vips.push_back(label_set({{"vip", vip.name}}));
    labels->vip_infos.push_back(label_set({{"vip", vip.name},
                                           {"address", vip.address.to_string()},
                                           {"protocol", vip.protocol == Protocol::kTcp ? "tcp" : "udp"},
                                           {"port", ports_text(vip.ports)},
                                           {"pool", vip.pool}}));
  }
  for (const Pool& pool : services.pools) {
    labels->pools.push_back(label_set({{"pool", pool.name}}));
    for (const Backend& backend : pool.backends) {
      backend_ids_.push_back(
          node_.ids().backends.find(ForwardingIds::backend_name(pool, backend)).value_or(kNoBackend));
      labels->backends.push_back(label_set({{"pool", pool.name}, {"backend", backend.name}}));
      labels->backend_infos.push_back(label_set(
          {{"pool", pool.name}, {"backend", backend.name}, {"address", backend.address.to_string()}}));
    }
  }
  labels_ = std::move(labels);
  labelled_ = node_.applied();
}

NodeSnapshot NodeMetrics::snapshot(bool last_reload_successful) {
  const auto began = std::chrono::steady_clock::now();
  if (labels_ == nullptr || labelled_ != node_.applied()) make_labels();
  NodeSnapshot snapshot;
  snapshot.node = node_.config().node.name;
  snapshot.version = SLUICE_VERSION;
  snapshot.isa = cpu_clone_name();
  snapshot.draining = node_.draining();
  snapshot.last_reload_successful = last_reload_successful;
  snapshot.generation = node_.generation();
  snapshot.table_build = node_.table_build_times();
  snapshot.table_publish = node_.table_publish_times();
  snapshot.table_failures = node_.table_failures();
  snapshot.ports = port_reports(node_);
  snapshot.workers = worker_reports(node_);
  for (const auto& worker : node_.engine().workers()) {
    auto& drops = snapshot.drops.emplace_back();
    for (size_t i = 0; i < kDropReasons; ++i) drops[i] = worker->counters().drops[i].read();
  }
  snapshot.labels = labels_;
  snapshot.vips.resize(vip_ids_.size());
  for (size_t i = 0; i < vip_ids_.size(); ++i) {
    add_traffic(node_, &l4::WorkerCounters::vips, vip_ids_[i], snapshot.vips[i]);
  }
  add_backends(snapshot);
  for (const Announcement& one : node_.announcements()) {
    snapshot.announcements.push_back({one.address.to_string(), one.announced});
  }
  snapshot.taken_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return snapshot;
}

void NodeMetrics::add_backends(NodeSnapshot& snapshot) const {
  const auto seconds = [](auto duration) { return std::chrono::duration<double>(duration).count(); };
  const ForwardingTable& table = *node_.engine().table();
  const Services& services = node_.config().services;
  snapshot.backends.reserve(backend_ids_.size());
  for (size_t i = 0; i < services.pools.size(); ++i) {
    const Pool& pool = services.pools[i];
    // After a table that could not be put in place these may be of other services.
    const PoolHealth health = i < node_.pool_health().size() ? node_.pool_health()[i] : PoolHealth{};
    snapshot.pools.push_back({health.mode, health.wanted, health.healthy, pool.policy.min_healthy});
    for (const Backend& backend : pool.backends) {
      const BackendId id = backend_ids_[snapshot.backends.size()];
      BackendNumbers& numbers = snapshot.backends.emplace_back();
      add_traffic(node_, &l4::WorkerCounters::backends, id, numbers);
      const PassiveSignals signals = node_.passive_signals(pool, backend);
      numbers.syns = signals.syns;
      numbers.syns_again = signals.syns_again;
      numbers.unreachable_errors = signals.unreachable_errors;
      numbers.slots_ratio = table.slots_share(pool.name, id);
      numbers.weight = backend.weight;
      numbers.active = backend.state == BackendState::kActive;
      numbers.resolved = table.backend(id).resolved;
      const BackendHealth* checked = node_.health_of(pool, backend);
      if (checked == nullptr) continue;
      numbers.checked = true;
      numbers.healthy = checked->healthy;
      numbers.health_changed = seconds(checked->since.time_since_epoch());
      numbers.check_latency = seconds(checked->latency);
      numbers.checks = checked->checks;
      numbers.check_failures = checked->failures;
    }
  }
}

}  // namespace sluice::control
