// sluicectl's verbs that change what a sluice-proxy does.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "control/api_client.h"
#include "control/ctl_answer.h"
#include "control/ctl_config.h"
#include "control/ctl_flows.h"
#include "control/ctl_proxy.h"

namespace sluice {

namespace {

namespace po = boost::program_options;
using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kBetweenLooks{200};

void add_no_options(po::options_description&) {}

void add_json_option(po::options_description& options) {
  options.add_options()("json", "the server's answer as one line of JSON");
}

int run_log_level(const CtlContext& context, const po::variables_map&) {
  return ctl_log_level(context, "proxy");
}

// --- drain

void add_drain_proxy_options(po::options_description& options) {
  add_json_option(options);
  options.add_options()("leave", "end as at SIGTERM: no way back");
}

int run_drain(const CtlContext& context, const po::variables_map& options) {
  const bool leave = options.count("leave") > 0;
  return ctl_show(
      context, options, "POST", leave ? "/v1/drain?leave=1" : "/v1/drain", "", [&](const Json& answer) {
        const auto clients = answer.at("clients").get<uint64_t>();
        const std::string left = fmt::format("{} client{}", clients, clients == 1 ? "" : "s");
        if (leave) {
          context.output.out << fmt::format("proxy: leaves; {} to go\n", left);
        } else if (answer.at("listeners_with_health_path").get<uint64_t>() == 0) {
          context.output.out << "proxy: draining, but no listener has a health_path: nobody is told\n";
        } else {
          context.output.out << fmt::format(
              "proxy: health_path is answered with 503; {} connected, and new ones are taken\n", left);
        }
      });
}

int run_undrain(const CtlContext& context, const po::variables_map& options) {
  return ctl_show(context, options, "POST", "/v1/undrain", "", [&](const Json&) {
    context.output.out << "proxy: health_path is answered with 200 again\n";
  });
}

// --- endpoints

void add_endpoint_drain_options(po::options_description& options) {
  add_json_option(options);
  options.add_options()("wait", po::value<std::string>()->implicit_value("")->value_name("DURATION"),
                        "return when no request is left, or after so long (90s, 5m)");
}

std::string endpoint_target(const CtlContext& context, std::string_view action) {
  return fmt::format("/v1/clusters/{}/endpoints/{}/{}", api_segment(context.words[0]),
                     api_segment(context.words[1]), action);
}

void say_endpoint(const CtlContext& context, const Json& answer, std::string_view what) {
  const auto open = answer.at("endpoint").at("active_requests").get<uint64_t>();
  const auto left = answer.at("candidates_left").get<uint64_t>();
  context.output.out << fmt::format(
      "cluster {}: {} {}; {} request{} open there, {} endpoint{} get{} requests\n",
      ctl_text(answer.at("cluster")), ctl_text(answer.at("endpoint").at("endpoint")), what, open,
      open == 1 ? "" : "s", left, left == 1 ? "" : "s", left == 1 ? "s" : "");
}

/// Looks until the endpoint has no request open or `limit` is over. Asking to drain again changes nothing.
int wait_for_requests(const CtlContext& context, bool json, std::optional<milliseconds> limit) {
  const std::string target = fmt::format("/v1/clusters/{}", api_segment(context.words[0]));
  const auto began = steady_clock::now();
  while (true) {
    const auto waited = steady_clock::now() - began;
    const auto answer = api_call(context.socket, "GET", target, "", context.timeout);
    if (!answer) return ctl_fail(context, kCtlUnreachable, answer.error().message);
    if (!answer->is_ok()) return ctl_fail(context, kCtlServerError, api_error_text(*answer));
    const Json parsed = Json::parse(answer->body, nullptr, false);
    if (!parsed.is_object() || !parsed.contains("clusters"))
      return ctl_fail(context, kCtlServerError, target + ": the answer is not what it should be");
    uint64_t open = 0;
    bool found = false;
    for (const Json& endpoint : parsed["clusters"][0]["endpoints"]) {
      if (endpoint.value("endpoint", "") != context.words[1]) continue;
      found = true;
      if (!endpoint.value("draining", false)) {
        return ctl_fail(context, kCtlServerError,
                        fmt::format("cluster {}: {} gets requests again; somebody has undrained it",
                                    context.words[0], context.words[1]));
      }
      open = endpoint.value("active_requests", uint64_t{0});
    }
    if (!found) {
      return ctl_fail(
          context, kCtlServerError,
          fmt::format("cluster {} has no endpoint {} any more", context.words[0], context.words[1]));
    }
    if (open == 0 || (limit && waited >= *limit)) {
      const double seconds = std::chrono::duration<double>(waited).count();
      context.output.out << (json ? Json{{"cluster", context.words[0]},
                                         {"endpoint", context.words[1]},
                                         {"active_requests", open},
                                         {"waited_ms", static_cast<int64_t>(seconds * 1000)}}
                                            .dump() +
                                        '\n'
                                  : fmt::format("cluster {}: {} {} request{} left after {:.1f} s\n",
                                                context.words[0], context.words[1], open,
                                                open == 1 ? "" : "s", seconds));
      return open == 0 ? kCtlOk : kCtlFlowsLeft;
    }
    std::this_thread::sleep_for(kBetweenLooks);
  }
}

int run_endpoint_drain(const CtlContext& context, const po::variables_map& options) {
  std::optional<milliseconds> limit;
  if (options.count("wait") > 0 && !options["wait"].as<std::string>().empty()) {
    limit = ctl_duration(options["wait"].as<std::string>());
    if (!limit) {
      return ctl_fail(context, kCtlUsage,
                      fmt::format("--wait: found '{}'; accepted: a whole number with ms, s, m or h",
                                  options["wait"].as<std::string>()));
    }
  }
  const int code = ctl_show(context, options, "POST", endpoint_target(context, "drain"), "",
                            [&](const Json& answer) { say_endpoint(context, answer, "drains"); });
  if (code != kCtlOk || options.count("wait") == 0) return code;
  context.output.out.flush();
  return wait_for_requests(context, options.count("json") > 0, limit);
}

int run_endpoint_undrain(const CtlContext& context, const po::variables_map& options) {
  return ctl_show(context, options, "POST", endpoint_target(context, "undrain"), "",
                  [&](const Json& answer) { say_endpoint(context, answer, "no longer drains"); });
}

// --- configuration

int run_reload(const CtlContext& context, const po::variables_map& options) {
  return ctl_show(context, options, "POST", "/v1/reload", "", [&](const Json& answer) {
    context.output.out << fmt::format("proxy: runs under the file again, generation {}\n",
                                      answer.at("generation").get<uint64_t>());
  });
}

int run_export(const CtlContext& context, const po::variables_map&) {
  const auto answer = api_call(context.socket, "GET", "/v1/config?format=yaml", "", context.timeout);
  if (!answer) return ctl_fail(context, kCtlUnreachable, answer.error().message);
  if (!answer->is_ok()) return ctl_fail(context, kCtlServerError, api_error_text(*answer));
  return ctl_write_file(context, context.words.empty() ? "-" : context.words[0], answer->body);
}

int run_check(const CtlContext& context, const po::variables_map& options) {
  const auto text = ctl_read_file(context, context.words[0]);
  if (!text) return kCtlUsage;
  return ctl_show(context, options, "PUT", "/v1/config?dry_run=1", *text,
                  [&](const Json&) { context.output.out << fmt::format("{}: good\n", context.words[0]); });
}

void add_apply_options(po::options_description& options) {
  add_json_option(options);
  options.add_options()("volatile", "until the next reload or restart: the proxy's file stays as it is");
}

int run_apply(const CtlContext& context, const po::variables_map& options) {
  const auto text = ctl_read_file(context, context.words[0]);
  if (!text) return kCtlUsage;
  const bool is_volatile = options.count("volatile") > 0;
  if (!is_volatile) {
    return ctl_fail(
        context, kCtlUsage,
        "the proxy would go back to its own file at the next reload or restart: say --volatile, or "
        "write that file and `sluicectl proxy reload`");
  }
  return ctl_show(context, options, "PUT", "/v1/config?volatile=1", *text, [&](const Json& answer) {
    context.output.out << fmt::format(
        "proxy: runs under {} until the next reload or restart, generation {}\n", context.words[0],
        answer.at("generation").get<uint64_t>());
  });
}

constexpr CtlVerb kVerbs[] = {
    {"proxy log-level", "the least level that the proxy logs, or change it: debug, info, warning, error",
     add_no_options, run_log_level, "[LEVEL]"},
    {"proxy drain", "answer health checks with 503; --leave: end when the clients have gone",
     add_drain_proxy_options, run_drain},
    {"proxy undrain", "answer health checks with 200 again", add_json_option, run_undrain},
    {"proxy endpoint drain", "send no new requests there; --wait until those under way have ended",
     add_endpoint_drain_options, run_endpoint_drain, "CLUSTER ENDPOINT"},
    {"proxy endpoint undrain", "send it requests again", add_json_option, run_endpoint_undrain,
     "CLUSTER ENDPOINT"},
    {"proxy reload", "take the configuration file anew, as at SIGHUP", add_json_option, run_reload},
    {"proxy config export", "the configuration in force, to the terminal or a file", add_no_options,
     run_export, "[FILE]"},
    {"proxy config check", "whether the running proxy would take a file", add_json_option, run_check, "FILE"},
    {"proxy config apply", "run under a file until the next reload or restart", add_apply_options, run_apply,
     "FILE"},
};

}  // namespace

std::span<const CtlVerb> ctl_proxy_change_verbs() {
  return kVerbs;
}

}  // namespace sluice
