#include "control/report_api.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

namespace sluice {

namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kMostEvents = 1000;

/// "2026-01-31T12:00:00.123Z"
std::string time_text(std::chrono::system_clock::time_point time) {
  const auto milliseconds =
      std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(milliseconds / 1000), milliseconds % 1000);
}

/// The number under `key` in the query, `otherwise` if absent. An Error if it is none.
Result<uint64_t> number_of(const ApiRequest& request, std::string_view key, uint64_t otherwise) {
  const auto text = request.query_value(key);
  if (!text) return otherwise;
  uint64_t number = 0;
  const char* end = text->data() + text->size();
  const auto parsed = std::from_chars(text->data(), end, number);
  if (text->empty() || parsed.ec != std::errc{} || parsed.ptr != end) {
    return fail(fmt::format("{}: found '{}'; accepted: a whole number", key, *text));
  }
  return number;
}

}  // namespace

ApiResponse answer_events(const EventLog& events, const ApiRequest& request) {
  const auto limit = number_of(request, "limit", 100);
  if (!limit) return api_error(400, limit.error().message);
  const uint64_t most = std::min(*limit, kMostEvents);
  const auto after = number_of(request, "after", events.last() - std::min(events.last(), most));
  if (!after) return api_error(400, after.error().message);
  Json json{{"first", events.first()}, {"last", events.last()}, {"events", Json::array()}};
  for (const Event& event : events.after(*after, most)) {
    json["events"].push_back({{"sequence", event.sequence},
                              {"time", time_text(event.time)},
                              {"kind", event.kind},
                              {"text", event.text}});
  }
  return {200, json.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

void serve_reports(ApiServer& api, std::function<Report()> report) {
  const auto whole = [report = std::move(report)](const ApiRequest&) {
    return ApiResponse{200, to_json(report())};
  };
  api.route("GET", "/v1/status", whole);
  api.route("GET", "/v1/stats", whole);
}

void serve_events(ApiServer& api, const EventLog& events) {
  api.route("GET", "/v1/events",
            [&events](const ApiRequest& request) { return answer_events(events, request); });
}

}  // namespace sluice
