#include "control/sluicectl_verbs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <optional>

#include "control/api_client.h"
#include "control/ctl_answer.h"
#include "control/ctl_config.h"
#include "control/ctl_flows.h"
#include "control/ctl_proxy.h"
#include "control/ctl_repeat.h"
#include "control/ctl_services.h"
#include "control/report.h"

namespace sluice {

namespace {

namespace po = boost::program_options;

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

/// Shows the report of /v1/status: as it came, or as `render` tells it.
template <typename Render>
int show_report(const CtlContext& context, const po::variables_map& options, Render render) {
  const Fetched fetched = fetch(context, "/v1/status");
  if (fetched.code != kCtlOk) return ctl_fail(context, fetched.code, fetched.error);
  context.output.out << (options.count("json") ? fetched.text + '\n' : render(fetched.report));
  return kCtlOk;
}

int run_status(const CtlContext& context, const po::variables_map& options) {
  return show_report(context, options, [&](const Report& report) {
    return render_status(report, std::time(nullptr), context.colour);
  });
}

int run_health(const CtlContext& context, const po::variables_map& options) {
  return show_report(context, options, [&](const Report& report) {
    return render_health(report, std::time(nullptr), context.colour);
  });
}

int run_announce(const CtlContext& context, const po::variables_map& options) {
  return show_report(context, options,
                     [&](const Report& report) { return render_announcements(report, context.colour); });
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

int run_node_log_level(const CtlContext& context, const po::variables_map&) {
  return ctl_log_level(context, "node");
}

void add_stats_options(po::options_description& options) {
  options.add_options()("json", "the server's answer as one line of JSON");
  add_repeat_options(options, "repeat, every second or as told, and show rates per second");
}

int run_stats(const CtlContext& context, const po::variables_map& options) {
  std::optional<Report> earlier;
  return ctl_repeat(context, options, [&](const CtlContext& turn) -> int {
    Fetched fetched = fetch(turn, "/v1/stats");
    if (fetched.code != kCtlOk) return ctl_fail(turn, fetched.code, fetched.error);
    turn.output.out << (options.count("json") > 0
                            ? fetched.text + '\n'
                            : render_stats(fetched.report, earlier ? &*earlier : nullptr));
    earlier = std::move(fetched.report);
    return kCtlOk;
  });
}

constexpr CtlVerb kReportVerbs[] = {
    {"status", "how the node is set up: ports, workers, VIPs, backends and their next hops", add_view_options,
     run_status},
    {"health", "which backends are alive, and why one is not", add_view_options, run_health},
    {"announce", "which VIP addresses the routers learn from this node, and why not the others",
     add_view_options, run_announce},
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

std::string ctl_default_socket(std::string_view first_word) {
  return first_word == "proxy" ? "/run/sluice-proxy/proxy.sock" : "/run/sluice/control.sock";
}

std::span<const CtlVerb> sluicectl_verbs() {
  static const std::vector<CtlVerb> all = [] {
    std::vector<CtlVerb> verbs;
    for (const auto part : {std::span<const CtlVerb>(kReportVerbs), ctl_service_verbs(), ctl_flow_verbs(),
                            ctl_config_verbs(), ctl_proxy_verbs(), ctl_proxy_change_verbs()}) {
      verbs.insert(verbs.end(), part.begin(), part.end());
    }
    return verbs;
  }();
  return all;
}

}  // namespace sluice
