#include "control/log_api.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>

#include "control/log.h"
#include "control/log_line.h"

namespace sluice {

namespace {

ApiResponse present_level() {
  const LogNumbers numbers = log_numbers();
  nlohmann::ordered_json json{{"level", log_level_name(log_level())},
                              {"suppressed_lines", numbers.suppressed}};
  return {200, json.dump()};
}

}  // namespace

ApiResponse answer_log(EventLog& events, const ApiRequest& request) {
  if (request.method == "GET") return present_level();
  const auto body = nlohmann::json::parse(request.body, nullptr, false);
  const bool has_level =
      body.is_object() && body.size() == 1 && body.contains("level") && body["level"].is_string();
  const auto level = has_level ? parse_log_level(body["level"].get<std::string>()) : std::nullopt;
  if (!level) {
    return api_error(422, fmt::format("level: found {}; accepted: {}",
                                      has_level ? '\'' + body["level"].get<std::string>() + '\'' : "nothing",
                                      fmt::join(kLogLevelNames, ", ")));
  }
  const LogLevel before = log_level();
  // Said at the level that shows in both.
  set_log_level(std::min(before, LogLevel::kInfo));
  spdlog::info("event=log_level level={} by={}", log_level_name(*level), log_quoted(request.peer));
  set_log_level(*level);
  events.record("log", fmt::format("level {} -> {} by {}", log_level_name(before), log_level_name(*level),
                                   request.peer));
  return present_level();
}

void serve_log(ApiServer& api, EventLog& events) {
  for (const char* method : {"GET", "PUT"}) {
    api.route(method, "/v1/log",
              [&events](const ApiRequest& request) { return answer_log(events, request); });
  }
}

}  // namespace sluice
