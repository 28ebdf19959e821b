// Who still has flows: the body of /v1/flows, and its tables in the CLI.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "control/report.h"
#include "lb/result.h"

namespace sluice {

struct BackendFlows {
  std::string name;
  std::string address;
  std::string state;   ///< as configured: active, drain, down
  uint64_t flows = 0;  ///< as of the last survey
};

struct PoolFlows {
  std::string name;
  std::vector<std::string> vips;  ///< that use it; which of them a flow belongs to is not known
  std::vector<BackendFlows> backends;

  uint64_t flows() const;
};

/// Flows by backend are counted by surveys, which have numbers.
struct FlowReport {
  std::vector<WorkerReport> workers;
  uint64_t survey = 0;        ///< the one that `pools` comes from; 0: none was made yet
  uint64_t wanted = 0;        ///< the one that shows what is so now, or later than now
  int64_t survey_age_ms = 0;  ///< since the end of `survey`
  std::vector<PoolFlows> pools;
};

/// One line of JSON. Bytes that are not UTF-8 are replaced.
std::string to_json(const FlowReport& report);

/// The reverse, of what the CLI shows: not of `workers` all fields. Errors: no such JSON.
Result<FlowReport> flow_report_from_json(std::string_view text);

/// The tables that people read.
std::string render_flows(const FlowReport& report, bool colour = false);

}  // namespace sluice
