#include "control/ctl_config.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "control/api_client.h"
#include "control/ctl_services.h"
#include "control/table.h"

namespace sluice {

namespace {

namespace po = boost::program_options;
using Json = nlohmann::ordered_json;

constexpr std::chrono::milliseconds kEventsInterval{500};

void add_export_options(po::options_description& options) {
  options.add_options()("json", "as JSON instead of YAML");
}

int run_export(const CtlContext& context, const po::variables_map& options) {
  const std::string target = options.count("json") > 0 ? "/v1/config" : "/v1/config?format=yaml";
  const auto answer = api_call(context.socket, "GET", target, "", context.timeout);
  if (!answer) return ctl_fail(context, kCtlUnreachable, answer.error().message);
  if (!answer->is_ok()) return ctl_fail(context, kCtlServerError, api_error_text(*answer));
  return ctl_write_file(context, context.words.empty() ? "-" : context.words[0], answer->body);
}

void add_diff_options(po::options_description& options) {
  options.add_options()("json", "the server's answer as one line of JSON");
}

/// What putting `text` in place would change; an exit code, after an error, if the server refuses it.
tl::expected<ApiAnswer, int> try_config(const CtlContext& context, const std::string& text) {
  const auto answer = api_call(context.socket, "PUT", "/v1/config?dry_run=1", text, context.timeout);
  if (!answer) return tl::unexpected(ctl_fail(context, kCtlUnreachable, answer.error().message));
  if (!answer->is_ok()) return tl::unexpected(ctl_fail(context, kCtlServerError, api_error_text(*answer)));
  return *answer;
}

int run_diff(const CtlContext& context, const po::variables_map& options) {
  const auto text = ctl_read_file(context, context.words[0]);
  if (!text) return kCtlUsage;
  const auto answer = try_config(context, *text);
  if (!answer) return answer.error();
  const Json changes = Json::parse(answer->body, nullptr, false);
  if (!changes.is_object() || !changes.contains("changes")) {
    return ctl_fail(context, kCtlServerError, "/v1/config: the answer is not what it should be");
  }
  if (options.count("json") > 0) {
    context.output.out << answer->body << '\n';
  } else {
    for (const Json& change : changes["changes"]) context.output.out << change.value("text", "") << '\n';
  }
  return changes["changes"].empty() ? kCtlOk : kCtlDiffers;
}

int run_apply(const CtlContext& context, const po::variables_map& options) {
  const auto text = ctl_read_file(context, context.words[0]);
  if (!text) return kCtlUsage;
  // The generation of the answer is that of the services which the file was compared with.
  const auto tried = try_config(context, *text);
  if (!tried) return tried.error();
  const Json json = Json::parse(tried->body, nullptr, false);
  const uint64_t generation = json.is_object() ? json.value("generation", uint64_t{0}) : 0;
  return ctl_change(context, options, "PUT", "/v1/config", *text, std::to_string(generation));
}

void add_events_options(po::options_description& options) {
  options.add_options()("json", "each event as one line of JSON")(
      "watch", "go on with events as they happen")("count", po::value<unsigned>()->value_name("N"),
                                                   "stop after N events");
}

/// Writes the events of an answer, at most `left` of them, which it counts down. Returns the last number.
uint64_t write_events(const CtlContext& context, const Json& answer, bool as_json, uint64_t& left) {
  uint64_t last = answer.at("last").get<uint64_t>();
  for (const Json& event : answer.at("events")) {
    if (left == 0) break;
    --left;
    last = event.at("sequence").get<uint64_t>();
    if (as_json) {
      context.output.out << event.dump() << '\n';
    } else {
      context.output.out << fmt::format("{}  {:<9} {}\n", event.at("time").get<std::string>(),
                                        event.at("kind").get<std::string>(),
                                        event.at("text").get<std::string>());
    }
  }
  context.output.out.flush();
  return last;
}

int run_events(const CtlContext& context, const po::variables_map& options) {
  const bool watching = options.count("watch") > 0;
  uint64_t left = options.count("count") > 0 ? options["count"].as<unsigned>() : UINT64_MAX;
  std::string target = "/v1/events";
  while (true) {
    const auto answer = api_call(context.socket, "GET", target, "", context.timeout);
    if (!answer) return ctl_fail(context, kCtlUnreachable, answer.error().message);
    if (!answer->is_ok()) return ctl_fail(context, kCtlServerError, api_error_text(*answer));
    try {
      const uint64_t last = write_events(context, Json::parse(answer->body), options.count("json") > 0, left);
      target = fmt::format("/v1/events?after={}", last);
    } catch (const Json::exception&) {
      return ctl_fail(context, kCtlServerError, "/v1/events: the answer is not what it should be");
    }
    if (!watching || left == 0 || !context.output.out) return kCtlOk;
    std::this_thread::sleep_for(kEventsInterval);
  }
}

constexpr CtlVerb kVerbs[] = {
    {"config export", "all VIPs and pools as YAML, to the terminal or a file", add_export_options, run_export,
     "[FILE]"},
    {"config diff", "what applying a file would change", add_diff_options, run_diff, "FILE"},
    {"config apply", "put the VIPs and pools of a file in the place of all there are", add_change_options,
     run_apply, "FILE"},
    {"events", "what has happened lately", add_events_options, run_events},
};

}  // namespace

std::optional<std::string> ctl_read_file(const CtlContext& context, const std::string& path) {
  if (path == "-") return std::string(std::istreambuf_iterator<char>(std::cin), {});
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(file), {});
  if (!file.is_open() || file.bad() || errno != 0) {
    ctl_fail(context, kCtlUsage, fmt::format("{}: cannot be read: {}", path, std::strerror(errno)));
    return std::nullopt;
  }
  return text;
}

int ctl_write_file(const CtlContext& context, const std::string& path, std::string text) {
  if (!text.ends_with('\n')) text += '\n';
  if (path == "-") {
    context.output.out << text;
    return kCtlOk;
  }
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) {
    return ctl_fail(context, kCtlUsage, fmt::format("{}: cannot be written: {}", path, std::strerror(errno)));
  }
  return kCtlOk;
}

std::span<const CtlVerb> ctl_config_verbs() {
  return kVerbs;
}

}  // namespace sluice
