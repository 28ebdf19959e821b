#include "control/node_report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "control/privileges.h"
#include "lb/cpu_clones.h"

namespace sluice::control {

namespace {

using Workers = std::vector<std::unique_ptr<l4::Worker>>;

const char* kind_name(l4::PortKind kind) {
  switch (kind) {
    case l4::PortKind::kAfXdp:
      return "af_xdp";
    case l4::PortKind::kPci:
      return "pci";
    case l4::PortKind::kVdev:
      break;
  }
  return "vdev";
}

const char* state_name(BackendState state) {
  switch (state) {
    case BackendState::kActive:
      return "active";
    case BackendState::kDrain:
      return "drain";
    case BackendState::kDown:
      break;
  }
  return "down";
}

PortReport port_report(const l4::Port& port) {
  const l4::PortCounters counters = port.counters();
  PortReport report;
  report.name = port.settings().name;
  report.kind = kind_name(port.settings().kind);
  report.device = port.settings().device;
  report.link = port.link_up() ? "up" : "down";
  report.queues = port.receive_queues();
  report.rx_packets = counters.rx_packets;
  report.tx_packets = counters.tx_packets;
  report.rx_missed = counters.rx_missed;
  report.rx_no_buffer = counters.rx_no_buffer;
  report.rx_errors = counters.rx_errors;
  report.tx_errors = counters.tx_errors;
  return report;
}

WorkerReport worker_report(const l4::Worker& worker, const l4::WorkerSettings& settings) {
  const l4::WorkerCounters& counters = worker.counters();
  const FlowTable& flows = worker.flows();
  WorkerReport report;
  report.index = worker.setup().index;
  if (report.index < settings.cores.size()) report.core = settings.cores[report.index];
  report.idle = settings.idle == l4::IdleMode::kPoll ? "poll" : "adaptive";
  report.rx_packets = counters.received.packets.read();
  report.rx_bytes = counters.received.bytes.read();
  report.tx_packets = counters.transmitted.packets.read();
  report.tx_bytes = counters.transmitted.bytes.read();
  report.polls = counters.polls.read();
  report.idle_polls = counters.idle_polls.read();
  report.sleeps = counters.sleeps.read();
  report.flows = flows.occupied();
  report.flow_capacity = flows.capacity();
  report.inserted = flows.inserted();
  report.expired = flows.expired();
  report.evictions = flows.evicted();
  report.echo_replies = counters.echo_replies.read();
  report.too_big_answers = counters.too_big_answers.read();
  return report;
}

VipReport vip_report(const Node& node, const Vip& vip) {
  VipReport report{vip.name, vip.address.to_string(), vip.protocol == Protocol::kTcp ? "tcp" : "udp",
                   ports_text(vip.ports), vip.pool};
  const auto& pools = node.config().services.pools;
  const auto pool =
      std::find_if(pools.begin(), pools.end(), [&](const Pool& one) { return one.name == vip.pool; });
  if (pool != pools.end()) {
    report.backends_active = static_cast<uint64_t>(std::count_if(
        pool->backends.begin(), pool->backends.end(),
        [](const Backend& backend) { return backend.state == BackendState::kActive && backend.weight > 0; }));
  }
  if (const auto id = node.ids().vips.find(vip.name)) {
    for (const auto& worker : node.engine().workers()) {
      report.packets += worker->counters().vips[*id].packets.read();
      report.bytes += worker->counters().vips[*id].bytes.read();
    }
  }
  return report;
}

/// Where the backend's checks go, in words.
std::string checked_at(const Node& node, const Pool& pool, const Backend& backend) {
  if (pool.health.via == HealthCheckVia::kDirect) return "direct";
  const Services& services = node.config().services;
  const auto vip = health_vip(services, pool, health_port(services, pool, backend).value_or(0));
  return vip ? fmt::format("tunnel, {}", vip->to_string()) : "tunnel";
}

void add_health(const Node& node, const Pool& pool, const Backend& backend, BackendReport& report) {
  const BackendHealth* health = node.health_of(pool, backend);
  if (health == nullptr) return;
  const auto seconds = [](std::chrono::system_clock::time_point time) {
    return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
  };
  report.health = health->held      ? "held"
                  : health->healthy ? "healthy"
                  : health->leaving ? "leaving"
                                    : "unhealthy";
  report.health_error = health->last_error;
  report.checked_at = checked_at(node, pool, backend);
  report.health_since = seconds(health->since);
  report.next_check = seconds(health->next_check);
  report.check_latency_us = health->latency.count();
  report.checks = health->checks;
  report.failed_checks = health->failures;
}

BackendReport backend_report(const Node& node, const Pool& pool, const Backend& backend) {
  BackendReport report;
  report.pool = pool.name;
  report.name = backend.name;
  report.address = backend.address.to_string();
  report.state = state_name(backend.state);
  report.weight = backend.weight;
  if (const auto way = node.egress_of(backend)) {
    report.resolved = true;
    report.next_hop =
        fmt::format("{} via {}", node.config().ports[way->port].name, way->next_hop.to_string());
  } else {
    report.next_hop = way.error().message;
  }
  add_health(node, pool, backend, report);
  const PassiveSignals signals = node.passive_signals(pool, backend);
  report.syns = signals.syns;
  report.syns_again = signals.syns_again;
  report.unreachable_errors = signals.unreachable_errors;
  if (const auto id = node.ids().backends.find(ForwardingIds::backend_name(pool, backend))) {
    report.slots_share = node.engine().table()->slots_share(pool.name, *id);
    for (const auto& worker : node.engine().workers()) {
      report.packets += worker->counters().backends[*id].packets.read();
      report.bytes += worker->counters().backends[*id].bytes.read();
    }
  }
  return report;
}

}  // namespace

std::string ports_text(const PortRange& ports) {
  if (ports.is_any()) return "any";
  return ports.is_single() ? std::to_string(ports.first) : fmt::format("{}-{}", ports.first, ports.last);
}

FlowReport flow_report_of(Node& node, bool ask) {
  FlowSurveys& surveys = node.flow_surveys();
  FlowReport report;
  report.wanted = ask ? surveys.ask() : surveys.next();
  report.workers = worker_reports(node);
  report.survey = surveys.counted();
  report.survey_age_ms = surveys.age().count();
  const Services& services = node.config().services;
  for (const Pool& pool : services.pools) {
    PoolFlows& flows = report.pools.emplace_back();
    flows.name = pool.name;
    for (const Vip& vip : services.vips) {
      if (vip.pool == pool.name) flows.vips.push_back(vip.name);
    }
    for (const Backend& backend : pool.backends) {
      const auto id = node.ids().backends.find(ForwardingIds::backend_name(pool, backend));
      flows.backends.push_back({backend.name, backend.address.to_string(), state_name(backend.state),
                                id ? surveys.flows_of(*id) : 0});
    }
  }
  return report;
}

std::vector<PortReport> port_reports(const Node& node) {
  std::vector<PortReport> reports;
  for (const l4::Port& port : node.engine().ports()) reports.push_back(port_report(port));
  return reports;
}

std::vector<WorkerReport> worker_reports(const Node& node) {
  std::vector<WorkerReport> reports;
  for (const auto& worker : node.engine().workers()) {
    reports.push_back(worker_report(*worker, node.config().workers));
  }
  return reports;
}

Report report_of(const Node& node, const std::string& config_error) {
  using std::chrono::duration_cast;
  Report report;
  report.node = node.config().node.name;
  report.version = SLUICE_VERSION;
  report.pid = getpid();
  report.started = duration_cast<std::chrono::seconds>(node.started().time_since_epoch()).count();
  report.taken_ns =
      duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
  report.generation = node.generation();
  report.config_path = node.config_path();
  report.config_error = config_error;
  report.isa = cpu_clone_name();
  report.ports = port_reports(node);
  report.workers = worker_reports(node);
  for (const Vip& vip : node.config().services.vips) report.vips.push_back(vip_report(node, vip));
  for (const Pool& pool : node.config().services.pools) {
    for (const Backend& backend : pool.backends)
      report.backends.push_back(backend_report(node, pool, backend));
  }
  report.draining = node.draining();
  report.capabilities = effective_capabilities();
  for (const Announcement& one : node.announcements()) {
    report.announcements.push_back(
        {one.address.to_string(), one.announced, one.reason, one.vips, one.leaving});
  }
  for (size_t i = 0; i < kDropReasons; ++i) {
    DropReport drop{std::string(kDropReasonTexts[i].name), std::string(kDropReasonTexts[i].help)};
    for (const auto& worker : node.engine().workers()) drop.packets += worker->counters().drops[i].read();
    report.drops.push_back(std::move(drop));
  }
  return report;
}

}  // namespace sluice::control
