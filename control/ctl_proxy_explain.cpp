// "proxy explain" as people read it: from the listener to the answer, a block for each step.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "control/ctl_answer.h"
#include "control/ctl_proxy.h"
#include "control/ctl_repeat.h"

namespace sluice {

namespace {

namespace po = boost::program_options;
using Json = nlohmann::ordered_json;

constexpr auto kRight = Table::Align::kRight;

/// Lines with a word in front of the first, and room in the place of it in front of the others.
class Block {
 public:
  explicit Block(std::ostream& out) : out_(out) {}
  void line(std::string_view title, std::string_view text) {
    out_ << fmt::format("{:<11}{}\n", title == last_ ? "" : title, text);
    last_ = title;
  }

 private:
  std::ostream& out_;
  std::string last_;
};

std::string milliseconds_text(const Json& value) {
  if (value.is_null()) return "not looked at";
  const auto ms = value.get<int64_t>();
  if (ms == 0) return "none";
  return ms % 1000 == 0 ? fmt::format("{} s", ms / 1000) : fmt::format("{} ms", ms);
}

std::string retry_text(const Json& retry) {
  if (retry.is_null()) return "what no endpoint has begun to work on, twice";
  std::string on;
  for (const Json& reason : retry.at("on")) on += (on.empty() ? "" : ", ") + ctl_text(reason);
  std::string text = fmt::format("up to {} times on {}", retry.at("max_retries").get<uint64_t>(), on);
  if (retry.at("per_try_timeout_ms").get<int64_t>() > 0)
    text += ", each try up to " + milliseconds_text(retry.at("per_try_timeout_ms"));
  return text;
}

void show_policy(Block& block, const Json& policy) {
  block.line("time-outs", fmt::format("request {}, idle {}, longest grpc-timeout {}",
                                      milliseconds_text(policy.at("request_timeout_ms")),
                                      milliseconds_text(policy.at("idle_timeout_ms")),
                                      policy.at("max_grpc_timeout_ms") == 0
                                          ? "any"
                                          : milliseconds_text(policy.at("max_grpc_timeout_ms"))));
  block.line("retries", retry_text(policy.at("retry")));
  if (const Json& limit = policy.at("rate_limit"); !limit.is_null()) {
    const std::string by = ctl_text(limit.at("by"));
    block.line("rate limit",
               fmt::format("{:g} per second, {} at once{}", limit.at("per_second").get<double>(),
                           limit.at("burst").get<uint64_t>(), by.empty() ? "" : ", by " + by));
  }
  if (policy.at("max_request_bytes").get<uint64_t>() > 0)
    block.line("body", fmt::format("up to {} bytes", policy.at("max_request_bytes").get<uint64_t>()));
}

void show_sent(Block& block, const Json& explained) {
  const Json& sent = explained.at("sent");
  block.line("sent as", fmt::format("{} for {}", ctl_text(sent.at("path")), ctl_text(sent.at("authority"))));
  for (const Json& change : sent.at("changes")) block.line("sent as", ctl_text(change));
  for (const Json& change : explained.at("response_changes")) block.line("response", ctl_text(change));
  for (const Json& mirror : explained.at("mirrors")) {
    block.line("copy to", fmt::format("{}, {:.4g} % of the requests", ctl_text(mirror.at("cluster")),
                                      mirror.at("percent").get<double>()));
  }
}

std::string hash_text(const Json& cluster) {
  const std::string by = ctl_text(cluster.at("hash_by"));
  if (by.empty()) return "the route has no hash: any endpoint";
  return cluster.at("hash").is_null() ? fmt::format("by {}, which this request has not: any endpoint", by)
                                      : fmt::format("{} by {}", ctl_text(cluster.at("hash")), by);
}

void show_cluster(const CtlContext& context, const Json& cluster, bool several) {
  std::ostream& out = context.output.out;
  out << fmt::format(
      "\ncluster {}: {} of the requests, {}, {} of {} open; connect within {}, wait for a connection {}\n",
      ctl_text(cluster.at("cluster")), ctl_percent(cluster.at("share").get<double>()),
      ctl_text(cluster.at("policy")), cluster.at("active_requests").get<uint64_t>(),
      cluster.at("max_requests").get<uint64_t>(), milliseconds_text(cluster.at("connect_timeout_ms")),
      milliseconds_text(cluster.at("pending_timeout_ms")));
  if (cluster.contains("hash")) out << "hash " << hash_text(cluster) << '\n';
  Table table({{"ENDPOINT"},
               {"STATE"},
               {"SHARE", kRight},
               {"WEIGHT", kRight},
               {"ACTIVE", kRight},
               {several ? "DRAWN" : "PICKED", kRight},
               {"WHY"}});
  for (const Json& endpoint : cluster.at("endpoints")) {
    const auto text = [&](const char* key) { return ctl_text(endpoint.at(key)); };
    table.add({text("endpoint"), state_cell(text("standing")),
               ctl_percent(endpoint.at("share").get<double>()), text("weight"), text("active_requests"),
               several                      ? text("picked")
               : endpoint.at("picked") == 0 ? ""
                                            : "this one",
               text("reason")});
  }
  out << (table.empty() ? "no endpoints\n" : table.render(context.colour));
}

std::string answer_text(const Json& answer) {
  const std::string outcome = ctl_text(answer.at("outcome"));
  if (outcome == "answered") return "of the endpoint, " + ctl_text(answer.at("endpoint"));
  if (outcome == "direct") {
    std::string text = fmt::format("{} by the proxy itself", answer.at("status").get<unsigned>());
    if (answer.contains("location")) text += ", location " + ctl_text(answer.at("location"));
    return text;
  }
  return fmt::format("{}: {} {} (gRPC: {})", outcome, answer.at("status").get<unsigned>(),
                     ctl_text(answer.at("message")), answer.at("grpc_status").get<unsigned>());
}

void show(const CtlContext& context, const Json& explained, bool several) {
  Block block(context.output.out);
  const Json& request = explained.at("request");
  block.line("request", fmt::format("{} {} from {}", ctl_text(request.at("method")),
                                    ctl_text(request.at("url")), ctl_text(request.at("from"))));
  if (request.contains("normal_path"))
    block.line("request", "path made normal: " + ctl_text(request.at("normal_path")));
  const Json& listener = explained.at("listener");
  block.line("listener",
             fmt::format("{} at {}", ctl_text(listener.at("name")), ctl_text(listener.at("address"))));
  if (explained.contains("host")) {
    const Json& host = explained.at("host");
    block.line("host", fmt::format("{}{}", host.at("name").is_null() ? "" : ctl_text(host.at("name")) + ": ",
                                   ctl_text(host.at("reason"))));
    for (const Json& route : explained.at("routes")) {
      block.line("routes", fmt::format("{} {}: {}", route.at("matched").get<bool>() ? "yes" : "no ",
                                       ctl_text(route.at("route")), ctl_text(route.at("reason"))));
    }
  }
  if (explained.contains("route")) {
    block.line("action", ctl_text(explained.at("route").at("action")));
    show_policy(block, explained.at("route").at("policy"));
  }
  if (explained.contains("sent")) show_sent(block, explained);
  if (explained.contains("clusters")) {
    for (const Json& cluster : explained.at("clusters")) show_cluster(context, cluster, several);
    context.output.out << '\n';
  }
  const Json& answer = explained.at("answer");
  block.line("answer", answer_text(answer));
  if (const std::string advice = ctl_text(answer.at("advice")); !advice.empty()) block.line("advice", advice);
}

/// "name: value" as a pair; false, after an error, if it is not like that.
bool add_header(const CtlContext& context, const std::string& text, Json& headers) {
  const auto colon = text.find(':');
  if (colon == std::string::npos || colon == 0) {
    ctl_fail(context, kCtlUsage, fmt::format("--header: found '{}'; accepted: 'name: value'", text));
    return false;
  }
  std::string value = text.substr(colon + 1);
  value.erase(0, value.find_first_not_of(' '));
  headers.push_back({text.substr(0, colon), value});
  return true;
}

}  // namespace

void add_explain_options(po::options_description& options) {
  options.add_options()("json", "the server's answer as one line of JSON")(
      "header,H", po::value<std::vector<std::string>>()->value_name("HEADER"),
      "a header of the request, 'name: value'; may be given several times")(
      "listener", po::value<std::string>()->value_name("NAME"),
      "the listener that it comes to; if not given, the one with the URL's port")(
      "from", po::value<std::string>()->value_name("ADDRESS"),
      "the client's address; 127.0.0.1 if not given")("count", po::value<unsigned>()->value_name("N"),
                                                      "draw cluster and endpoint so many times");
}

int ctl_proxy_explain(const CtlContext& context, const po::variables_map& options) {
  // "GET http://..." is one word or two.
  std::vector<std::string> words = context.words;
  if (const auto space = words[0].find(' '); words.size() == 1 && space != std::string::npos)
    words = {words[0].substr(0, space), words[0].substr(space + 1)};
  Json body{{"method", words.size() == 2 ? words[0] : "GET"}, {"url", words.back()}};
  for (const char* key : {"listener", "from"}) {
    if (options.count(key) > 0) body[key] = options[key].as<std::string>();
  }
  const bool several = options.count("count") > 0;
  if (several) body["count"] = options["count"].as<unsigned>();
  body["headers"] = Json::array();
  if (options.count("header") > 0) {
    for (const std::string& header : options["header"].as<std::vector<std::string>>()) {
      if (!add_header(context, header, body["headers"])) return kCtlUsage;
    }
  }
  return ctl_show(context, options, "POST", "/v1/explain",
                  body.dump(-1, ' ', false, Json::error_handler_t::replace),
                  [&](const Json& explained) { show(context, explained, several); });
}

}  // namespace sluice
