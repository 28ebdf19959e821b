// The tables that people read.
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <ctime>
#include <functional>
#include <map>
#include <optional>

#include "control/duration_words.h"
#include "control/report.h"
#include "control/table.h"

namespace sluice {

namespace {

constexpr auto kLeft = Table::Align::kLeft;
constexpr auto kRight = Table::Align::kRight;

std::string core_text(const WorkerReport& worker) {
  return worker.core < 0 ? "any" : std::to_string(worker.core);
}

/// Tables under each other with an empty line between; empty ones leave no trace.
std::string join(std::string text, const Table& table, bool colour = false) {
  if (table.empty()) return text;
  if (!text.empty()) text += '\n';
  return text + table.render(colour);
}

/// Whether two reports are of one process, so that their counters can be compared.
bool same_process(const Report& a, const Report& b) {
  return a.pid == b.pid && a.started == b.started && a.node == b.node;
}

/// Builds tables of counters: each counter a column, and a column of its rate if there is an earlier report.
class Counters {
 public:
  Counters(const Report& report, const Report* earlier)
      : earlier_(earlier && same_process(report, *earlier) && report.taken_ns > earlier->taken_ns ? earlier
                                                                                                  : nullptr),
        seconds_(earlier_ ? static_cast<double>(report.taken_ns - earlier_->taken_ns) / 1e9 : 0) {}

  template <typename Item>
  struct Column {
    std::string title;
    uint64_t Item::*counter;
    bool with_rate = false;
  };
  template <typename Item>
  struct Label {
    std::string title;
    std::function<std::string(const Item&)> text;
  };

  /// `list` is the member of Report that `items` comes from; `identity` finds an item again in the earlier
  /// report, whatever was added or removed in between.
  template <typename Item>
  Table table(const std::vector<Item>& items, std::vector<Item> Report::*list,
              const std::vector<Label<Item>>& labels, const std::vector<Column<Item>>& columns,
              const std::function<std::string(const Item&)>& identity) const {
    std::map<std::string, const Item*> before;
    if (earlier_) {
      for (const Item& item : earlier_->*list) before.emplace(identity(item), &item);
    }
    std::vector<Table::Column> heads;
    for (const auto& label : labels) heads.push_back({label.title, kLeft});
    for (const auto& column : columns) {
      heads.push_back({column.title, kRight});
      if (earlier_ && column.with_rate) heads.push_back({column.title + "/S", kRight});
    }
    Table table(std::move(heads));
    for (const Item& item : items) {
      const auto found = before.find(identity(item));
      std::vector<Table::Cell> cells;
      for (const auto& label : labels) cells.push_back(label.text(item));
      for (const auto& column : columns) {
        const uint64_t now = item.*column.counter;
        cells.push_back(std::to_string(now));
        if (!earlier_ || !column.with_rate) continue;
        const bool comparable = found != before.end() && found->second->*column.counter <= now;
        cells.push_back(comparable ? rate(now - found->second->*column.counter) : "");
      }
      table.add(std::move(cells));
    }
    return table;
  }

 private:
  std::string rate(uint64_t difference) const {
    return fmt::format("{:.0f}", static_cast<double>(difference) / seconds_);
  }

  const Report* earlier_;
  double seconds_;
};

Table port_counters(const Counters& counters, const Report& report) {
  using Port = PortReport;
  const auto name = [](const Port& port) { return port.name; };
  return counters.table<Port>(report.ports, &Report::ports, {{"PORT", name}},
                              {{"RX PACKETS", &Port::rx_packets, true},
                               {"TX PACKETS", &Port::tx_packets, true},
                               {"RX MISSED", &Port::rx_missed, true},
                               {"RX NO BUFFER", &Port::rx_no_buffer},
                               {"RX ERRORS", &Port::rx_errors},
                               {"TX ERRORS", &Port::tx_errors}},
                              name);
}

Table worker_counters(const Counters& counters, const Report& report) {
  using Worker = WorkerReport;
  const auto index = [](const Worker& worker) { return std::to_string(worker.index); };
  return counters.table<Worker>(report.workers, &Report::workers, {{"WORKER", index}, {"CORE", core_text}},
                                {{"RX PACKETS", &Worker::rx_packets, true},
                                 {"RX BYTES", &Worker::rx_bytes, true},
                                 {"TX PACKETS", &Worker::tx_packets, true},
                                 {"TX BYTES", &Worker::tx_bytes, true},
                                 {"POLLS", &Worker::polls},
                                 {"IDLE POLLS", &Worker::idle_polls},
                                 {"SLEEPS", &Worker::sleeps}},
                                index);
}

Table worker_flows(const Counters& counters, const Report& report) {
  using Worker = WorkerReport;
  const auto index = [](const Worker& worker) { return std::to_string(worker.index); };
  return counters.table<Worker>(report.workers, &Report::workers, {{"WORKER", index}},
                                {{"FLOWS", &Worker::flows},
                                 {"NEW FLOWS", &Worker::inserted, true},
                                 {"EXPIRED", &Worker::expired},
                                 {"EVICTIONS", &Worker::evictions, true},
                                 {"ECHO REPLIES", &Worker::echo_replies},
                                 {"TOO BIG ANSWERS", &Worker::too_big_answers}},
                                index);
}

Table vip_counters(const Counters& counters, const Report& report) {
  using Vip = VipReport;
  const auto name = [](const Vip& vip) { return vip.name; };
  return counters.table<Vip>(report.vips, &Report::vips,
                             {{"VIP", name},
                              {"ADDRESS", [](const Vip& vip) { return vip.address; }},
                              {"PROTOCOL", [](const Vip& vip) { return vip.protocol; }},
                              {"PORT", [](const Vip& vip) { return vip.ports; }}},
                             {{"PACKETS", &Vip::packets, true}, {"BYTES", &Vip::bytes, true}}, name);
}

Table backend_counters(const Counters& counters, const Report& report) {
  using Backend = BackendReport;
  return counters.table<Backend>(report.backends, &Report::backends,
                                 {{"POOL", [](const Backend& backend) { return backend.pool; }},
                                  {"BACKEND", [](const Backend& backend) { return backend.name; }},
                                  {"ADDRESS", [](const Backend& backend) { return backend.address; }}},
                                 {{"PACKETS", &Backend::packets, true}, {"BYTES", &Backend::bytes, true}},
                                 [](const Backend& backend) { return backend.pool + ' ' + backend.address; });
}

Table drop_counters(const Counters& counters, const Report& report) {
  using Drop = DropReport;
  std::vector<Drop> seen;
  for (const Drop& drop : report.drops) {
    if (drop.packets > 0) seen.push_back(drop);
  }
  const auto reason = [](const Drop& drop) { return drop.reason; };
  return counters.table<Drop>(
      seen, &Report::drops,
      {{"DROPPED BECAUSE", reason}, {"MEANING", [](const Drop& drop) { return drop.help; }}},
      {{"PACKETS", &Drop::packets, true}}, reason);
}

std::string status_head(const Report& report, int64_t now) {
  std::string text = fmt::format("{}: sluiced {}, pid {}, up {}, forwarding table {}, {} code\n", report.node,
                                 report.version, report.pid, duration_words(now - report.started),
                                 report.generation, report.isa.empty() ? "generic" : report.isa);
  if (!report.config_path.empty()) text += fmt::format("configuration {}\n", report.config_path);
  if (!report.capabilities.empty()) text += fmt::format("capabilities {}\n", report.capabilities);
  if (!report.config_error.empty()) {
    text += fmt::format("the last reload changed nothing:\n{}\n", report.config_error);
  }
  return text;
}

Table port_states(const Report& report) {
  Table table({{"PORT"}, {"KIND"}, {"DEVICE"}, {"LINK"}, {"QUEUES", kRight}});
  for (const PortReport& port : report.ports) {
    table.add({port.name, port.kind, port.device, state_cell(port.link), std::to_string(port.queues)});
  }
  return table;
}

Table worker_states(const Report& report) {
  Table table({{"WORKER"}, {"CORE"}, {"IDLE"}, {"FLOWS", kRight}, {"OF", kRight}});
  for (const WorkerReport& worker : report.workers) {
    table.add({std::to_string(worker.index), core_text(worker), worker.idle, std::to_string(worker.flows),
               std::to_string(worker.flow_capacity)});
  }
  return table;
}

Table vip_states(const Report& report) {
  Table table({{"VIP"}, {"ADDRESS"}, {"PROTOCOL"}, {"PORT"}, {"POOL"}, {"ACTIVE BACKENDS", kRight}});
  for (const VipReport& vip : report.vips) {
    table.add(
        {vip.name, vip.address, vip.protocol, vip.ports, vip.pool, std::to_string(vip.backends_active)});
  }
  return table;
}

Table backend_states(const Report& report) {
  Table table(
      {{"POOL"}, {"BACKEND"}, {"ADDRESS"}, {"STATE"}, {"WEIGHT", kRight}, {"SHARE", kRight}, {"NEXT HOP"}});
  for (const BackendReport& backend : report.backends) {
    table.add({backend.pool, backend.name, backend.address, state_cell(backend.state),
               std::to_string(backend.weight), fmt::format("{:.1f}%", backend.slots_share * 100),
               backend.resolved ? backend.next_hop : "none: " + backend.next_hop});
  }
  return table;
}

}  // namespace

std::string render_status(const Report& report, int64_t now, bool colour) {
  std::string text = status_head(report, now);
  text = join(std::move(text), port_states(report), colour);
  text = join(std::move(text), worker_states(report), colour);
  text = join(std::move(text), vip_states(report), colour);
  return join(std::move(text), backend_states(report), colour);
}

std::string render_stats(const Report& report, const Report* earlier) {
  const Counters counters(report, earlier);
  std::string text;
  text = join(std::move(text), port_counters(counters, report));
  text = join(std::move(text), worker_counters(counters, report));
  text = join(std::move(text), worker_flows(counters, report));
  text = join(std::move(text), vip_counters(counters, report));
  text = join(std::move(text), backend_counters(counters, report));
  return join(std::move(text), drop_counters(counters, report));
}

std::string render_health(const Report& report, int64_t now, bool colour) {
  Table table({{"POOL"},
               {"BACKEND"},
               {"ADDRESS"},
               {"VIA"},
               {"HEALTH"},
               {"SINCE"},
               {"NEXT"},
               {"MS", kRight},
               {"SYNS", kRight},
               {"REPEATED", kRight},
               {"ICMP ERRORS", kRight},
               {"LAST ERROR"}});
  for (const BackendReport& backend : report.backends) {
    const std::string syns = std::to_string(backend.syns), again = std::to_string(backend.syns_again),
                      errors = std::to_string(backend.unreachable_errors);
    if (backend.health.empty()) {
      table.add({backend.pool, backend.name, backend.address, "", "not checked", "", "", "", syns, again,
                 errors, ""});
      continue;
    }
    table.add({backend.pool, backend.name, backend.address, backend.checked_at, state_cell(backend.health),
               duration_words(now - backend.health_since) + " ago",
               "in " + duration_words(std::max<int64_t>(0, backend.next_check - now)),
               fmt::format("{:.1f}", static_cast<double>(backend.check_latency_us) / 1000), syns, again,
               errors, backend.health_error});
  }
  return table.empty() ? "no pool has backends\n" : table.render(colour);
}

std::string render_announcements(const Report& report, bool colour) {
  Table table({{"ADDRESS"}, {"ANNOUNCED"}, {"VIPS"}, {"WHY"}});
  for (const AnnouncementReport& one : report.announcements) {
    const char* state = one.leaving ? "leaving" : one.announced ? "yes" : "no";
    table.add({one.address, state_cell(state), fmt::format("{}", fmt::join(one.vips, ", ")), one.reason});
  }
  return table.empty() ? "there are no VIPs\n" : table.render(colour);
}

}  // namespace sluice
