#include "control/metrics/node_metric_list.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace sluice {

namespace {

constexpr auto kCounter = MetricKind::kCounter;
constexpr auto kGauge = MetricKind::kGauge;
constexpr auto kHistogram = MetricKind::kHistogram;
constexpr std::string_view kBackend = "pool, backend";

constexpr Metric kMetrics[] = {
    {"sluice_info", kGauge, "node, version, isa", "1: what runs, and the instruction set it was chosen for."},
    {"sluice_draining", kGauge, "", "1 while the operator drains the node."},
    {"sluice_config_last_reload_successful", kGauge, "", "0 after a reload that was refused."},
    {"sluice_table_generation", kGauge, "", "Forwarding tables published since the start."},
    {"sluice_table_build_seconds", kHistogram, "", "Time to build a forwarding table, Maglev included."},
    {"sluice_table_publish_seconds", kHistogram, "",
     "Time from a built table to the end of the one before it."},
    {"sluice_table_failures_total", kCounter, "", "Tables that could not be built or put in place."},
    {"sluice_metrics_snapshot_seconds", kGauge, "",
     "Time that the control thread took to collect the numbers of this answer."},
    {"sluice_log_lines_total", kCounter, "level", "Log lines written."},
    {"sluice_log_suppressed_lines_total", kCounter, "",
     "Log lines left out because there were too many of their kind."},

    {"sluice_port_up", kGauge, "port", "1 if the port has a link."},
    {"sluice_port_received_packets_total", kCounter, "port", "Packets that a worker took from the port."},
    {"sluice_port_transmitted_packets_total", kCounter, "port", "Packets sent by the port."},
    {"sluice_port_receive_missed_packets_total", kCounter, "port",
     "Packets lost before a worker took them: the receive queue was full."},
    {"sluice_port_receive_no_buffer_total", kCounter, "port", "Packets lost for want of packet buffers."},
    {"sluice_port_receive_errors_total", kCounter, "port", "Packets that the port received with errors."},
    {"sluice_port_transmit_errors_total", kCounter, "port", "Packets that the port could not send."},

    {"sluice_worker_received_packets_total", kCounter, "worker", "Frames received from all ports."},
    {"sluice_worker_received_bytes_total", kCounter, "worker", "Ethernet bytes received."},
    {"sluice_worker_transmitted_packets_total", kCounter, "worker", "Frames accepted by a transmit queue."},
    {"sluice_worker_transmitted_bytes_total", kCounter, "worker", "Ethernet bytes sent."},
    {"sluice_worker_polls_total", kCounter, "worker", "Rounds over all receive queues."},
    {"sluice_worker_idle_polls_total", kCounter, "worker", "Rounds that found no packet."},
    {"sluice_worker_sleeps_total", kCounter, "worker",
     "Times the worker slept until a packet or a time-out."},
    {"sluice_worker_echo_replies_total", kCounter, "worker", "Pings to a VIP that were answered."},
    {"sluice_worker_too_big_answers_total", kCounter, "worker", "Clients told that a packet was too big."},
    {"sluice_dropped_packets_total", kCounter, "worker, reason",
     "Packets dropped; docs/drop-reasons.md says what each reason means."},
    {"sluice_flows", kGauge, "worker", "Flows in the flow table."},
    {"sluice_flow_capacity", kGauge, "worker", "Flows that fit into the flow table."},
    {"sluice_flows_inserted_total", kCounter, "worker", "Flows remembered."},
    {"sluice_flows_expired_total", kCounter, "worker", "Flows forgotten after their idle time-out."},
    {"sluice_flows_evicted_total", kCounter, "worker", "Flows given up for another flow."},

    {"sluice_vip_info", kGauge, "vip, address, protocol, port, pool", "1: what the VIP is."},
    {"sluice_vip_packets_total", kCounter, "vip", "Packets sent on to a backend."},
    {"sluice_vip_bytes_total", kCounter, "vip", "IP bytes sent on to a backend, as received."},
    {"sluice_announced", kGauge, "address", "1 while routers learn this VIP address from this node."},

    {"sluice_pool_mode", kGauge, "pool",
     "0: healthy backends are used; 1: panic, all are used; 2: fail open, all are used; 3: too few, the VIPs "
     "are withdrawn."},
    {"sluice_pool_wanted_backends", kGauge, "pool", "Active backends with weight."},
    {"sluice_pool_healthy_backends", kGauge, "pool", "Of these, the healthy ones."},
    {"sluice_pool_min_healthy", kGauge, "pool", "Fewer healthy backends than this are too few."},

    {"sluice_backend_info", kGauge, "pool, backend, address", "1: where the backend is."},
    {"sluice_backend_active", kGauge, kBackend,
     "1 if the operator wants it to take new flows, 0 if it is drained or down."},
    {"sluice_backend_weight", kGauge, kBackend, "Its configured weight."},
    {"sluice_backend_slots_ratio", kGauge, kBackend, "Its share of the pool's new flows, 0 to 1."},
    {"sluice_backend_resolved", kGauge, kBackend, "1 if packets can leave for it: its next hop is known."},
    {"sluice_backend_packets_total", kCounter, kBackend, "Packets sent to it."},
    {"sluice_backend_bytes_total", kCounter, kBackend, "IP bytes sent to it, as received."},
    {"sluice_backend_syns_total", kCounter, kBackend, "TCP SYNs sent to it, repeated ones too."},
    {"sluice_backend_repeated_syns_total", kCounter, kBackend,
     "SYNs that a client repeated, as nobody answered."},
    {"sluice_backend_unreachable_errors_total", kCounter, kBackend,
     "ICMP destination unreachable errors about its flows."},
    {"sluice_backend_healthy", kGauge, kBackend,
     "1 if its checks say it is alive; absent if it is not checked."},
    {"sluice_backend_health_changed_timestamp_seconds", kGauge, kBackend,
     "When its health changed last, in seconds since 1970."},
    {"sluice_backend_check_latency_seconds", kGauge, kBackend, "Time that its last good check took."},
    {"sluice_backend_checks_total", kCounter, kBackend, "Health checks done."},
    {"sluice_backend_check_failures_total", kCounter, kBackend, "Health checks that failed."},

    {"process_cpu_seconds_total", kCounter, "", "CPU time of all threads, user and system."},
    {"process_resident_memory_bytes", kGauge, "", "Memory in use, without huge pages."},
    {"process_open_fds", kGauge, "", "Open file descriptors."},
    {"process_max_fds", kGauge, "", "Limit of open file descriptors."},
    {"process_start_time_seconds", kGauge, "", "When the process started, in seconds since 1970."},
};

}  // namespace

std::span<const Metric> node_metrics() {
  return kMetrics;
}

const Metric& node_metric(std::string_view name) {
  const auto found = std::find_if(std::begin(kMetrics), std::end(kMetrics),
                                  [&](const Metric& one) { return one.name == name; });
  if (found == std::end(kMetrics))
    throw std::logic_error("no such metric in the table: " + std::string(name));
  return *found;
}

}  // namespace sluice
