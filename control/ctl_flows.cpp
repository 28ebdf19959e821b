#include "control/ctl_flows.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>

#include "control/api_client.h"
#include "control/ctl_repeat.h"
#include "control/ctl_services.h"
#include "control/flow_report.h"

namespace sluice {

namespace {

namespace po = boost::program_options;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// Between two questions whether a survey has ended.
constexpr milliseconds kLook{20};
/// Between two surveys of a drain that waits.
constexpr milliseconds kBetweenSurveys{1000};

/// A report of flows whose survey has begun after the call, or an exit code after an error.
struct Surveyed {
  int code = kCtlOk;
  std::string text;
  FlowReport report;
};

/// `filter` is the query without '?'.
Surveyed survey_flows(const CtlContext& context, const std::string& filter) {
  const auto deadline = steady_clock::now() + context.timeout;
  std::string target = fmt::format("/v1/flows?{}", filter);
  uint64_t wanted = 0;
  while (true) {
    auto answer = api_call(context.socket, "GET", target, "", context.timeout);
    if (!answer) return {ctl_fail(context, kCtlUnreachable, answer.error().message), {}, {}};
    if (!answer->is_ok()) return {ctl_fail(context, kCtlServerError, api_error_text(*answer)), {}, {}};
    auto report = flow_report_from_json(answer->body);
    if (!report) return {ctl_fail(context, kCtlServerError, report.error().message), {}, {}};
    if (wanted == 0) {
      wanted = report->wanted;
      target = fmt::format("/v1/flows?{}{}survey={}", filter, filter.empty() ? "" : "&", wanted);
    }
    if (report->survey >= wanted) return {kCtlOk, std::move(answer->body), *std::move(report)};
    if (steady_clock::now() > deadline) {
      return {
          ctl_fail(
              context, kCtlUnreachable,
              "the workers did not count their flows in time; see sluicectl stats, or give more --timeout"),
          {},
          {}};
    }
    std::this_thread::sleep_for(kLook);
  }
}

int run_flows(const CtlContext& context, const po::variables_map& options) {
  const Surveyed surveyed = survey_flows(
      context, context.words.empty() ? "" : fmt::format("pool={}", api_segment(context.words[0])));
  if (surveyed.code != kCtlOk) return surveyed.code;
  context.output.out << (options.count("json") > 0 ? surveyed.text + '\n'
                                                   : render_flows(surveyed.report, context.colour));
  return kCtlOk;
}

std::string flows_text(uint64_t flows) {
  return fmt::format("{} flow{} left", flows, flows == 1 ? "" : "s");
}

/// How the wait of a drain goes on, for who looks.
class Progress {
 public:
  explicit Progress(const CtlOutput& output, bool silent)
      : out_(output.out), on_(output.is_terminal && !silent) {}
  void show(uint64_t flows) {
    if (on_) out_ << "\r\033[K" << flows_text(flows) << std::flush;
  }
  void end() {
    if (on_) out_ << "\r\033[K";
  }

 private:
  std::ostream& out_;
  bool on_;
};

/// Surveys until the backend has no flow or `limit` is over. An exit code.
int wait_until_drained(const CtlContext& context, bool json, std::optional<milliseconds> limit) {
  const std::string& pool = context.words[0];
  const std::string& name = context.words[1];
  const std::string filter = fmt::format("pool={}&backend={}", api_segment(pool), api_segment(name));
  const auto began = steady_clock::now();
  Progress progress(context.output, json);
  while (true) {
    // Asked before the survey, so that the last one shows what was left when the time was up.
    const auto waited = steady_clock::now() - began;
    const Surveyed surveyed = survey_flows(context, filter);
    if (surveyed.code != kCtlOk) return surveyed.code;
    if (surveyed.report.pools.empty() || surveyed.report.pools[0].backends.empty()) {
      return ctl_fail(context, kCtlServerError, "/v1/flows: the answer is not what it should be");
    }
    const BackendFlows& backend = surveyed.report.pools[0].backends[0];
    if (backend.state == "active") {
      progress.end();
      return ctl_fail(
          context, kCtlServerError,
          fmt::format("pool {}: backend {}: is active again; somebody has undrained it", pool, name));
    }
    const bool over = limit && waited >= *limit;
    if (backend.flows == 0 || over) {
      progress.end();
      const double seconds = std::chrono::duration<double>(waited).count();
      if (json) {
        context.output.out << nlohmann::ordered_json{{"pool", pool},
                                                     {"backend", name},
                                                     {"flows", backend.flows},
                                                     {"waited_ms", static_cast<int64_t>(seconds * 1000)}}
                                  .dump()
                           << '\n';
      } else {
        context.output.out << fmt::format("pool {}: backend {}: {} after {:.1f} s\n", pool, name,
                                          flows_text(backend.flows), seconds);
      }
      return backend.flows == 0 ? kCtlOk : kCtlFlowsLeft;
    }
    progress.show(backend.flows);
    auto next = kBetweenSurveys;
    if (limit) {
      const auto left = std::chrono::ceil<milliseconds>(began + *limit - steady_clock::now());
      next = std::clamp(left, milliseconds(0), next);
    }
    std::this_thread::sleep_for(next);
  }
}

constexpr CtlVerb kVerbs[] = {
    {"flows", "how full the flow tables are, and how many flows each backend has", add_view_options,
     run_flows, "[POOL]"},
};

}  // namespace

std::optional<milliseconds> ctl_duration(std::string_view text) {
  constexpr uint64_t kYear = 365ull * 24 * 3600 * 1000;
  uint64_t number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(read.ptr, static_cast<size_t>(text.data() + text.size() - read.ptr));
  const uint64_t factor = unit == "ms"                  ? 1
                          : unit.empty() || unit == "s" ? 1000
                          : unit == "m"                 ? 60'000
                          : unit == "h"                 ? 3'600'000
                                                        : 0;
  if (read.ec != std::errc{} || factor == 0 || number > kYear / factor) return std::nullopt;
  return milliseconds(number * factor);
}

void add_drain_options(po::options_description& options) {
  add_change_options(options);
  options.add_options()("wait", po::value<std::string>()->implicit_value("")->value_name("DURATION"),
                        "return when no flow is left, or after so long (90s, 5m)");
}

int ctl_drain(const CtlContext& context, const po::variables_map& options) {
  const bool waits = options.count("wait") > 0;
  std::optional<milliseconds> limit;
  if (waits && !options["wait"].as<std::string>().empty()) {
    const std::string& text = options["wait"].as<std::string>();
    limit = ctl_duration(text);
    if (!limit) {
      return ctl_fail(context, kCtlUsage,
                      fmt::format("--wait: found '{}'; accepted: a whole number with ms, s, m or h", text));
    }
  }
  const std::string target =
      fmt::format("/v1/pools/{}/backends/{}", api_segment(context.words[0]), api_segment(context.words[1]));
  const int code = ctl_change(context, options, "PATCH", target, R"({"state":"drain"})");
  if (code != kCtlOk || !waits || options.count("dry-run") > 0) return code;
  context.output.out.flush();
  return wait_until_drained(context, options.count("json") > 0, limit);
}

std::span<const CtlVerb> ctl_flow_verbs() {
  return kVerbs;
}

}  // namespace sluice
