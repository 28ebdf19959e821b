#include "control/flow_api.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

namespace sluice {

namespace {

/// Leaves one pool, and of it one backend; what is not there in words.
std::optional<std::string> narrow(FlowReport& report, const std::optional<std::string>& pool,
                                  const std::optional<std::string>& backend) {
  if (!pool) return std::nullopt;
  std::erase_if(report.pools, [&](const PoolFlows& one) { return one.name != *pool; });
  if (report.pools.empty()) return fmt::format("there is no pool '{}'", *pool);
  if (!backend) return std::nullopt;
  auto& backends = report.pools[0].backends;
  std::erase_if(backends, [&](const BackendFlows& one) { return one.name != *backend; });
  if (backends.empty()) return fmt::format("there is no backend '{}' in pool '{}'", *backend, *pool);
  return std::nullopt;
}

}  // namespace

ApiResponse answer_flows(const ReadFlows& read, const ApiRequest& request) {
  const auto survey = request.query_value("survey");
  const auto pool = request.query_value("pool");
  const auto backend = request.query_value("backend");
  if (survey && (survey->empty() || survey->find_first_not_of("0123456789") != std::string::npos)) {
    return api_error(400, fmt::format("survey: found '{}'; accepted: a whole number", *survey));
  }
  if (backend && !pool) return api_error(400, "backend: accepted together with pool only");
  FlowReport report = read(!survey);
  if (const auto missing = narrow(report, pool, backend)) return api_error(404, *missing);
  return {200, to_json(report)};
}

void serve_flows(ApiServer& api, ReadFlows read) {
  api.route("GET", "/v1/flows",
            [read = std::move(read)](const ApiRequest& request) { return answer_flows(read, request); });
}

}  // namespace sluice
