#include "control/metrics/node_snapshot.h"

#include <string_view>

#include "control/metrics/exposition.h"
#include "control/metrics/node_metric_list.h"

namespace sluice {

namespace {

uint64_t flag(bool value) {
  return value ? 1 : 0;
}

/// A metric with one sample for each of `items`; `labels` and `value` take the item and its place.
template <typename Items, typename Labels, typename Value>
void each(Exposition& out, std::string_view metric, const Items& items, Labels labels, Value value) {
  out.begin(node_metric(metric));
  size_t place = 0;
  for (const auto& item : items) {
    out.sample(labels(item, place), value(item));
    ++place;
  }
}

template <typename Value>
void one(Exposition& out, std::string_view metric, std::string_view labels, Value value) {
  out.begin(node_metric(metric));
  out.sample(labels, value);
}

void times(Exposition& out, std::string_view metric, const TableTimes& times) {
  out.begin(node_metric(metric));
  out.histogram({}, times.bounds(), times.counts(), times.sum());
}

void write_node(Exposition& out, const NodeSnapshot& node, const LogNumbers& log) {
  one(out, "sluice_info", label_set({{"node", node.node}, {"version", node.version}, {"isa", node.isa}}),
      uint64_t{1});
  one(out, "sluice_draining", {}, flag(node.draining));
  one(out, "sluice_config_last_reload_successful", {}, flag(node.last_reload_successful));
  one(out, "sluice_table_generation", {}, node.generation);
  times(out, "sluice_table_build_seconds", node.table_build);
  times(out, "sluice_table_publish_seconds", node.table_publish);
  one(out, "sluice_table_failures_total", {}, node.table_failures);
  one(out, "sluice_metrics_snapshot_seconds", {}, node.taken_seconds);
  each(
      out, "sluice_log_lines_total", log.lines,
      [&](uint64_t, size_t level) {
        return label_set({{"level", kLogLevelNames[level]}});
      },
      [](uint64_t lines) { return lines; });
  one(out, "sluice_log_suppressed_lines_total", {}, log.suppressed);
}

void write_ports(Exposition& out, const std::vector<PortReport>& ports) {
  const auto labels = [](const PortReport& port, size_t) { return label_set({{"port", port.name}}); };
  const auto counter = [&](std::string_view metric, uint64_t PortReport::*member) {
    each(out, metric, ports, labels, [member](const PortReport& port) { return port.*member; });
  };
  each(out, "sluice_port_up", ports, labels, [](const PortReport& port) { return flag(port.link == "up"); });
  counter("sluice_port_received_packets_total", &PortReport::rx_packets);
  counter("sluice_port_transmitted_packets_total", &PortReport::tx_packets);
  counter("sluice_port_receive_missed_packets_total", &PortReport::rx_missed);
  counter("sluice_port_receive_no_buffer_total", &PortReport::rx_no_buffer);
  counter("sluice_port_receive_errors_total", &PortReport::rx_errors);
  counter("sluice_port_transmit_errors_total", &PortReport::tx_errors);
}

void write_workers(Exposition& out, const NodeSnapshot& node) {
  const auto labels = [](const WorkerReport& worker, size_t) {
    return label_set({{"worker", std::to_string(worker.index)}});
  };
  const auto number = [&](std::string_view metric, uint64_t WorkerReport::*member) {
    each(out, metric, node.workers, labels, [member](const WorkerReport& worker) { return worker.*member; });
  };
  number("sluice_worker_received_packets_total", &WorkerReport::rx_packets);
  number("sluice_worker_received_bytes_total", &WorkerReport::rx_bytes);
  number("sluice_worker_transmitted_packets_total", &WorkerReport::tx_packets);
  number("sluice_worker_transmitted_bytes_total", &WorkerReport::tx_bytes);
  number("sluice_worker_polls_total", &WorkerReport::polls);
  number("sluice_worker_idle_polls_total", &WorkerReport::idle_polls);
  number("sluice_worker_sleeps_total", &WorkerReport::sleeps);
  number("sluice_worker_echo_replies_total", &WorkerReport::echo_replies);
  number("sluice_worker_too_big_answers_total", &WorkerReport::too_big_answers);
  out.begin(node_metric("sluice_dropped_packets_total"));
  for (size_t worker = 0; worker < node.drops.size(); ++worker) {
    for (size_t reason = 0; reason < kDropReasons; ++reason) {
      out.sample(label_set({{"worker", std::to_string(worker)}, {"reason", kDropReasonTexts[reason].name}}),
                 node.drops[worker][reason]);
    }
  }
  number("sluice_flows", &WorkerReport::flows);
  number("sluice_flow_capacity", &WorkerReport::flow_capacity);
  number("sluice_flows_inserted_total", &WorkerReport::inserted);
  number("sluice_flows_expired_total", &WorkerReport::expired);
  number("sluice_flows_evicted_total", &WorkerReport::evictions);
}

void write_vips(Exposition& out, const NodeSnapshot& node) {
  const auto labels = [&](const VipNumbers&, size_t place) -> std::string_view {
    return node.labels->vips[place];
  };
  each(
      out, "sluice_vip_info", node.labels->vip_infos,
      [](const std::string& info, size_t) -> std::string_view { return info; },
      [](const std::string&) { return uint64_t{1}; });
  each(out, "sluice_vip_packets_total", node.vips, labels, [](const VipNumbers& vip) { return vip.packets; });
  each(out, "sluice_vip_bytes_total", node.vips, labels, [](const VipNumbers& vip) { return vip.bytes; });
  each(
      out, "sluice_announced", node.announcements,
      [](const AnnouncementNumbers& item, size_t) {
        return label_set({{"address", item.address}});
      },
      [](const AnnouncementNumbers& item) { return flag(item.announced); });
}

void write_pools(Exposition& out, const NodeSnapshot& node) {
  const auto labels = [&](const PoolNumbers&, size_t place) -> std::string_view {
    return node.labels->pools[place];
  };
  const auto number = [&](std::string_view metric, auto value) {
    each(out, metric, node.pools, labels, value);
  };
  number("sluice_pool_mode", [](const PoolNumbers& pool) { return static_cast<uint64_t>(pool.mode); });
  number("sluice_pool_wanted_backends", [](const PoolNumbers& pool) { return uint64_t{pool.wanted}; });
  number("sluice_pool_healthy_backends", [](const PoolNumbers& pool) { return uint64_t{pool.healthy}; });
  number("sluice_pool_min_healthy", [](const PoolNumbers& pool) { return uint64_t{pool.min_healthy}; });
}

void write_backends(Exposition& out, const NodeSnapshot& node) {
  each(
      out, "sluice_backend_info", node.labels->backend_infos,
      [](const std::string& info, size_t) -> std::string_view { return info; },
      [](const std::string&) { return uint64_t{1}; });
  const auto number = [&](std::string_view metric, auto value) {
    each(
        out, metric, node.backends,
        [&](const BackendNumbers&, size_t place) -> std::string_view { return node.labels->backends[place]; },
        value);
  };
  number("sluice_backend_active", [](const BackendNumbers& backend) { return flag(backend.active); });
  number("sluice_backend_weight", [](const BackendNumbers& backend) { return uint64_t{backend.weight}; });
  number("sluice_backend_slots_ratio", [](const BackendNumbers& backend) { return backend.slots_ratio; });
  number("sluice_backend_resolved", [](const BackendNumbers& backend) { return flag(backend.resolved); });
  number("sluice_backend_packets_total", [](const BackendNumbers& backend) { return backend.packets; });
  number("sluice_backend_bytes_total", [](const BackendNumbers& backend) { return backend.bytes; });
  number("sluice_backend_syns_total", [](const BackendNumbers& backend) { return backend.syns; });
  number("sluice_backend_repeated_syns_total",
         [](const BackendNumbers& backend) { return backend.syns_again; });
  number("sluice_backend_unreachable_errors_total",
         [](const BackendNumbers& backend) { return backend.unreachable_errors; });
  const auto of_checked = [&](std::string_view metric, auto value) {
    out.begin(node_metric(metric));
    for (size_t place = 0; place < node.backends.size(); ++place) {
      const BackendNumbers& backend = node.backends[place];
      if (backend.checked) out.sample(node.labels->backends[place], value(backend));
    }
  };
  of_checked("sluice_backend_healthy", [](const BackendNumbers& backend) { return flag(backend.healthy); });
  of_checked("sluice_backend_health_changed_timestamp_seconds",
             [](const BackendNumbers& backend) { return backend.health_changed; });
  of_checked("sluice_backend_check_latency_seconds",
             [](const BackendNumbers& backend) { return backend.check_latency; });
  of_checked("sluice_backend_checks_total", [](const BackendNumbers& backend) { return backend.checks; });
  of_checked("sluice_backend_check_failures_total",
             [](const BackendNumbers& backend) { return backend.check_failures; });
}

void write_process(Exposition& out, const ProcessNumbers& process) {
  one(out, "process_cpu_seconds_total", {}, process.cpu_seconds);
  one(out, "process_resident_memory_bytes", {}, process.resident_bytes);
  one(out, "process_open_fds", {}, process.open_files);
  one(out, "process_max_fds", {}, process.max_files);
  one(out, "process_start_time_seconds", {}, process.start_time);
}

}  // namespace

std::string render_metrics(const NodeSnapshot& snapshot, const LogNumbers& log,
                           const ProcessNumbers& process) {
  // Measured: 64 to 96 bytes for each of the twelve lines of a backend.
  constexpr size_t kBackendBytes = 1200;
  constexpr size_t kVipBytes = 600;
  Exposition out;
  out.reserve((size_t{1} << 15) + snapshot.backends.size() * kBackendBytes +
              snapshot.vips.size() * kVipBytes);
  write_node(out, snapshot, log);
  write_ports(out, snapshot.ports);
  write_workers(out, snapshot);
  write_vips(out, snapshot);
  write_pools(out, snapshot);
  write_backends(out, snapshot);
  write_process(out, process);
  return out.take();
}

}  // namespace sluice
