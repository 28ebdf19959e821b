#include "control/flow_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "control/table.h"

namespace sluice {

namespace {

using Json = nlohmann::ordered_json;

double occupancy(uint64_t flows, uint64_t capacity) {
  return capacity == 0 ? 0 : static_cast<double>(flows) / static_cast<double>(capacity);
}

Json backend_json(const BackendFlows& backend) {
  return {{"name", backend.name},
          {"address", backend.address},
          {"state", backend.state},
          {"flows", backend.flows}};
}

}  // namespace

uint64_t PoolFlows::flows() const {
  uint64_t sum = 0;
  for (const BackendFlows& backend : backends) sum += backend.flows;
  return sum;
}

std::string to_json(const FlowReport& report) {
  uint64_t flows = 0;
  uint64_t capacity = 0;
  Json workers = Json::array();
  for (const WorkerReport& worker : report.workers) {
    flows += worker.flows;
    capacity += worker.flow_capacity;
    workers.push_back({{"index", worker.index},
                       {"flows", worker.flows},
                       {"flow_capacity", worker.flow_capacity},
                       {"inserted", worker.inserted},
                       {"expired", worker.expired},
                       {"evictions", worker.evictions}});
  }
  Json pools = Json::array();
  for (const PoolFlows& pool : report.pools) {
    Json backends = Json::array();
    for (const BackendFlows& backend : pool.backends) backends.push_back(backend_json(backend));
    pools.push_back(
        {{"name", pool.name}, {"vips", pool.vips}, {"flows", pool.flows()}, {"backends", backends}});
  }
  return Json{
      {"flows", flows},
      {"flow_capacity", capacity},
      {"occupancy", occupancy(flows, capacity)},
      {"workers", workers},
      {"survey", {{"counted", report.survey}, {"wanted", report.wanted}, {"age_ms", report.survey_age_ms}}},
      {"pools", pools}}
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<FlowReport> flow_report_from_json(std::string_view text) {
  try {
    const Json json = Json::parse(text);
    FlowReport report;
    for (const Json& one : json.at("workers")) {
      WorkerReport& worker = report.workers.emplace_back();
      worker.index = one.at("index").get<uint32_t>();
      worker.flows = one.at("flows").get<uint64_t>();
      worker.flow_capacity = one.at("flow_capacity").get<uint64_t>();
      worker.inserted = one.at("inserted").get<uint64_t>();
      worker.expired = one.at("expired").get<uint64_t>();
      worker.evictions = one.at("evictions").get<uint64_t>();
    }
    report.survey = json.at("survey").at("counted").get<uint64_t>();
    report.wanted = json.at("survey").at("wanted").get<uint64_t>();
    report.survey_age_ms = json.at("survey").at("age_ms").get<int64_t>();
    for (const Json& one : json.at("pools")) {
      PoolFlows& pool = report.pools.emplace_back();
      pool.name = one.at("name").get<std::string>();
      pool.vips = one.at("vips").get<std::vector<std::string>>();
      for (const Json& backend : one.at("backends")) {
        pool.backends.push_back(
            {backend.at("name").get<std::string>(), backend.at("address").get<std::string>(),
             backend.at("state").get<std::string>(), backend.at("flows").get<uint64_t>()});
      }
    }
    return report;
  } catch (const nlohmann::json::exception& error) {
    return fail(fmt::format("not a report of flows: {}", error.what()));
  }
}

std::string render_flows(const FlowReport& report, bool colour) {
  constexpr auto kRight = Table::Align::kRight;
  Table workers({{"WORKER"},
                 {"ENTRIES", kRight},
                 {"OF", kRight},
                 {"FULL", kRight},
                 {"NEW FLOWS", kRight},
                 {"EXPIRED", kRight},
                 {"EVICTIONS", kRight}});
  for (const WorkerReport& worker : report.workers) {
    workers.add(
        {std::to_string(worker.index), std::to_string(worker.flows), std::to_string(worker.flow_capacity),
         fmt::format("{:.1f}%", 100 * occupancy(worker.flows, worker.flow_capacity)),
         std::to_string(worker.inserted), std::to_string(worker.expired), std::to_string(worker.evictions)});
  }
  Table backends({{"POOL"}, {"VIPS"}, {"BACKEND"}, {"ADDRESS"}, {"STATE"}, {"FLOWS", kRight}});
  for (const PoolFlows& pool : report.pools) {
    for (const BackendFlows& backend : pool.backends) {
      backends.add({pool.name, fmt::format("{}", fmt::join(pool.vips, ", ")), backend.name, backend.address,
                    state_cell(backend.state), std::to_string(backend.flows)});
    }
  }
  std::string text = workers.render(colour);
  if (!text.empty() && !backends.empty()) text += '\n';
  return text + backends.render(colour);
}

}  // namespace sluice
