#include "control/sluicectl_verbs.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "control/api_client.h"
#include "control/ctl_config.h"
#include "control/ctl_services.h"
#include "control/report.h"

namespace sluice {

namespace {

namespace po = boost::program_options;

constexpr double kShortestWatchSeconds = 0.1;
constexpr double kLongestWatchSeconds = 86400;

/// A GET whose answer is a report, also in its original text.
struct Fetched {
  CtlExit code = kCtlOk;
  std::string error;
  std::string text;
  Report report;
};

Fetched fetch(const CtlContext& context, const std::string& target) {
  auto answer = api_call(context.socket, "GET", target, "", context.timeout);
  if (!answer) return {kCtlUnreachable, answer.error().message, {}, {}};
  if (!answer->is_ok()) return {kCtlServerError, api_error_text(*answer), {}, {}};
  auto report = report_from_json(answer->body);
  if (!report) return {kCtlServerError, report.error().message, {}, {}};
  return {kCtlOk, {}, std::move(answer->body), *std::move(report)};
}

void add_status_options(po::options_description& options) {
  options.add_options()("json", "the server's answer as one line of JSON");
}

/// Shows the report of /v1/status: as it came, or as `render` tells it.
template <typename Render>
int show_report(const CtlContext& context, const po::variables_map& options, Render render) {
  const Fetched fetched = fetch(context, "/v1/status");
  if (fetched.code != kCtlOk) return ctl_fail(context, fetched.code, fetched.error);
  context.output.out << (options.count("json") ? fetched.text + '\n' : render(fetched.report));
  return kCtlOk;
}

int run_status(const CtlContext& context, const po::variables_map& options) {
  return show_report(context, options,
                     [](const Report& report) { return render_status(report, std::time(nullptr)); });
}

int run_health(const CtlContext& context, const po::variables_map& options) {
  return show_report(context, options,
                     [](const Report& report) { return render_health(report, std::time(nullptr)); });
}

int run_announce(const CtlContext& context, const po::variables_map& options) {
  return show_report(context, options, render_announcements);
}

void add_no_options(po::options_description&) {}

int change_node_drain(const CtlContext& context, const char* action, const char* done) {
  const auto answer =
      api_call(context.socket, "POST", fmt::format("/v1/node/{}", action), "", context.timeout);
  if (!answer) return ctl_fail(context, kCtlUnreachable, answer.error().message);
  if (!answer->is_ok()) return ctl_fail(context, kCtlServerError, api_error_text(*answer));
  context.output.out << done << '\n';
  return kCtlOk;
}

int run_node_drain(const CtlContext& context, const po::variables_map&) {
  return change_node_drain(
      context, "drain",
      "node: its VIPs are being withdrawn, see sluicectl announce; packets that still come are forwarded");
}

int run_node_undrain(const CtlContext& context, const po::variables_map&) {
  return change_node_drain(context, "undrain", "node: announces again what it can serve");
}

/// Shows the level, or changes it.
int run_node_log_level(const CtlContext& context, const po::variables_map&) {
  const bool changes = !context.words.empty();
  const std::string body = changes ? nlohmann::json{{"level", context.words[0]}}.dump() : "";
  const auto answer = api_call(context.socket, changes ? "PUT" : "GET", "/v1/log", body, context.timeout);
  if (!answer) return ctl_fail(context, kCtlUnreachable, answer.error().message);
  if (!answer->is_ok()) return ctl_fail(context, kCtlServerError, api_error_text(*answer));
  const auto json = nlohmann::json::parse(answer->body, nullptr, false);
  const std::string level = json.is_object() ? json.value("level", "?") : "?";
  context.output.out << (changes ? fmt::format("node: log level {} until the restart\n", level)
                                 : level + '\n');
  return kCtlOk;
}

void add_stats_options(po::options_description& options) {
  options.add_options()("json", "the server's answer as one line of JSON")(
      "watch", po::value<double>()->implicit_value(1)->value_name("SECONDS"),
      "repeat, every second or as told, and show rates per second")(
      "count", po::value<unsigned>()->value_name("N"), "with --watch: stop after N times");
}

void show_stats(const CtlContext& context, const Fetched& fetched, const Report* earlier, bool watching) {
  std::ostream& out = context.output.out;
  // Home and clear: the terminal's scroll-back stays as it is.
  if (watching && context.output.is_terminal) out << "\033[H\033[J";
  if (watching) {
    out << fmt::format("{} {:%Y-%m-%d %H:%M:%S}\n\n", fetched.report.node,
                       fmt::localtime(std::time(nullptr)));
  }
  out << render_stats(fetched.report, earlier);
  if (watching && !context.output.is_terminal) out << '\n';
}

int run_stats(const CtlContext& context, const po::variables_map& options) {
  const bool watching = options.count("watch") > 0;
  const double seconds = watching ? options["watch"].as<double>() : 0;
  if (watching && !(seconds >= kShortestWatchSeconds && seconds <= kLongestWatchSeconds)) {
    return ctl_fail(context, kCtlUsage,
                    fmt::format("--watch: found {:g}; accepted: {:g} to {:g} seconds", seconds,
                                kShortestWatchSeconds, kLongestWatchSeconds));
  }
  if (options.count("count") && !watching) {
    return ctl_fail(context, kCtlUsage, "--count is accepted with --watch only");
  }
  constexpr uint64_t kEndless = UINT64_MAX;
  const uint64_t times = options.count("count") ? options["count"].as<unsigned>() : watching ? kEndless : 1;

  std::optional<Report> earlier;
  auto next = std::chrono::steady_clock::now();
  for (uint64_t shown = 0; shown < times && context.output.out; ++shown) {
    std::this_thread::sleep_until(next);
    next = std::chrono::steady_clock::now() + std::chrono::milliseconds(std::lround(seconds * 1000));
    Fetched fetched = fetch(context, "/v1/stats");
    if (fetched.code != kCtlOk) return ctl_fail(context, fetched.code, fetched.error);
    if (options.count("json")) {
      context.output.out << fetched.text << '\n';
    } else {
      show_stats(context, fetched, earlier ? &*earlier : nullptr, watching);
    }
    context.output.out.flush();
    earlier = std::move(fetched.report);
  }
  return kCtlOk;
}

constexpr CtlVerb kReportVerbs[] = {
    {"status", "how the node is set up: ports, workers, VIPs, backends and their next hops",
     add_status_options, run_status},
    {"health", "which backends are alive, and why one is not", add_status_options, run_health},
    {"announce", "which VIP addresses the routers learn from this node, and why not the others",
     add_status_options, run_announce},
    {"node drain", "withdraw all VIPs of this node, and go on forwarding", add_no_options, run_node_drain},
    {"node undrain", "announce again what can be served", add_no_options, run_node_undrain},
    {"node log-level", "the least level that is logged, or change it: debug, info, warning, error",
     add_no_options, run_node_log_level, "[LEVEL]"},
    {"stats", "packets, bytes, flows and drops since the start", add_stats_options, run_stats},
};

}  // namespace

int ctl_fail(const CtlContext& context, CtlExit code, std::string_view message) {
  context.output.err << "sluicectl: " << message << '\n';
  return code;
}

std::span<const CtlVerb> sluicectl_verbs() {
  static const std::vector<CtlVerb> all = [] {
    std::vector<CtlVerb> verbs;
    for (const auto part :
         {std::span<const CtlVerb>(kReportVerbs), ctl_service_verbs(), ctl_config_verbs()}) {
      verbs.insert(verbs.end(), part.begin(), part.end());
    }
    return verbs;
  }();
  return all;
}

}  // namespace sluice
