#include "control/report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace sluice {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(PortReport, name, kind, device, link, queues, rx_packets,
                                                tx_packets, rx_missed, rx_no_buffer, rx_errors, tx_errors)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(WorkerReport, index, core, idle, rx_packets, rx_bytes,
                                                tx_packets, tx_bytes, polls, idle_polls, sleeps, flows,
                                                flow_capacity, inserted, expired, evictions, echo_replies,
                                                too_big_answers)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(VipReport, name, address, protocol, ports, pool,
                                                backends_active, packets, bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(BackendReport, pool, name, address, state, weight,
                                                slots_share, resolved, next_hop, health, health_error,
                                                health_since, next_check, check_latency_us, checks,
                                                failed_checks, packets, bytes, checked_at, syns, syns_again,
                                                unreachable_errors)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(AnnouncementReport, address, announced, reason, vips, leaving)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(DropReport, reason, help, packets)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Report, node, version, pid, started, taken_ns, generation,
                                                config_path, config_error, isa, ports, workers, vips,
                                                backends, drops, draining, announcements, capabilities)

std::string to_json(const Report& report) {
  return nlohmann::json(report).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<Report> report_from_json(std::string_view text) {
  try {
    return nlohmann::json::parse(text).get<Report>();
  } catch (const nlohmann::json::exception& error) {
    return fail(fmt::format("not a report: {}", error.what()));
  }
}

}  // namespace sluice
