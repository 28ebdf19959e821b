#include "control/ctl_proxy.h"

#include <fmt/format.h>

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "control/api_client.h"
#include "control/ctl_answer.h"
#include "control/ctl_repeat.h"
#include "control/duration_words.h"

namespace sluice {

namespace {

namespace po = boost::program_options;
using Json = nlohmann::ordered_json;

constexpr auto kRight = Table::Align::kRight;

std::string joined(const Json& texts, std::string_view between, std::string_view none = "") {
  std::string line;
  for (const Json& text : texts) line += (line.empty() ? "" : std::string(between)) + ctl_text(text);
  return line.empty() ? std::string(none) : line;
}

const char* yes_or_no(const Json& value) {
  return value.get<bool>() ? "yes" : "no";
}

// --- status

std::string config_line(const Json& status) {
  const Json& config = status.at("config");
  std::string line = fmt::format("configuration: generation {}, {}", status.at("generation").get<uint64_t>(),
                                 config.at("from_file").get<bool>() ? "from " : "put by the API over ");
  line += ctl_text(config.at("file"));
  if (config.at("differs_from_file").get<bool>()) line += ", which says something else";
  if (!config.at("error").get_ref<const std::string&>().empty())
    line += "\nthe last reload was refused: " + ctl_text(config.at("error"));
  return line + '\n';
}

void show_status(const CtlContext& context, const Json& status) {
  uint64_t clients = 0;
  Table workers({{"WORKER", kRight}, {"CLIENTS", kRight}, {"CONNECTIONS", kRight}, {"REQUESTS", kRight}});
  for (const Json& worker : status.at("workers")) {
    clients += worker.at("clients").get<uint64_t>();
    workers.add({ctl_text(worker.at("worker")), ctl_text(worker.at("clients")),
                 ctl_text(worker.at("connections")), ctl_text(worker.at("requests"))});
  }
  Table listeners({{"LISTENER"}, {"ADDRESS"}, {"PROTOCOLS"}, {"TLS"}, {"HEALTH_PATH"}});
  for (const Json& listener : status.at("listeners")) {
    listeners.add({ctl_text(listener.at("name")), ctl_text(listener.at("address")),
                   joined(listener.at("protocols"), ", "), yes_or_no(listener.at("tls")),
                   ctl_text(listener.at("health_path"))});
  }
  Table clusters({{"CLUSTER"}, {"ENDPOINTS", kRight}, {"GET REQUESTS", kRight}});
  for (const Json& cluster : status.at("clusters")) {
    clusters.add({ctl_text(cluster.at("name")), ctl_text(cluster.at("endpoints")),
                  ctl_text(cluster.at("candidates"))});
  }
  Table outcomes({{"OUTCOME"}, {"REQUESTS", kRight}});
  for (const auto& [outcome, count] : status.at("outcomes").items()) {
    if (count.get<uint64_t>() > 0) outcomes.add({outcome, ctl_text(count)});
  }
  context.output.out << fmt::format(
      "proxy {}, version {}, process {}, up {}; {} client{}; {}\n{}", ctl_text(status.at("proxy")),
      ctl_text(status.at("version")), status.at("pid").get<int64_t>(),
      duration_words(status.at("uptime_s").get<int64_t>()), clients, clients == 1 ? "" : "s",
      status.at("draining").get<bool>() ? "draining" : "serving", config_line(status));
  for (const Table* table : {&listeners, &clusters, &workers, &outcomes}) {
    if (!table->empty()) context.output.out << '\n' << table->render(context.colour);
  }
}

int run_status(const CtlContext& context, const po::variables_map& options) {
  return ctl_show(context, options, "GET", "/v1/status", "",
                  [&](const Json& status) { show_status(context, status); });
}

// --- clusters and routes

int run_clusters(const CtlContext& context, const po::variables_map& options) {
  const std::string target =
      context.words.empty() ? "/v1/clusters" : "/v1/clusters/" + api_segment(context.words[0]);
  return ctl_show(context, options, "GET", target, "", [&](const Json& answer) {
    Table table({{"CLUSTER"},
                 {"ENDPOINT"},
                 {"STATE"},
                 {"SHARE", kRight},
                 {"WEIGHT", kRight},
                 {"PRIORITY", kRight},
                 {"ZONE"},
                 {"ACTIVE", kRight},
                 {"CONNS", kRight},
                 {"REQUESTS", kRight},
                 {"FAILURES", kRight},
                 {"WHY"}});
    for (const Json& cluster : answer.at("clusters")) {
      for (const Json& endpoint : cluster.at("endpoints")) {
        const auto text = [&](const char* key) { return ctl_text(endpoint.at(key)); };
        table.add({ctl_text(cluster.at("name")), text("endpoint"), state_cell(text("standing")),
                   ctl_percent(endpoint.at("share").get<double>()), text("weight"), text("priority"),
                   text("zone"), text("active_requests"), text("connections"), text("requests"),
                   text("failures"), text("reason")});
      }
      if (cluster.at("endpoints").empty()) table.add({ctl_text(cluster.at("name")), "no endpoints"});
    }
    ctl_write_table(context, table, "no clusters");
  });
}

int run_routes(const CtlContext& context, const po::variables_map& options) {
  return ctl_show(context, options, "GET", "/v1/routes", "", [&](const Json& answer) {
    Table table({{"LISTENER"}, {"HOST"}, {"DOMAINS"}, {"ROUTE"}, {"MATCH"}, {"ACTION"}});
    for (const Json& listener : answer.at("listeners")) {
      for (const Json& host : listener.at("hosts")) {
        for (const Json& route : host.at("routes")) {
          table.add({ctl_text(listener.at("listener")), ctl_text(host.at("host")),
                     joined(host.at("domains"), ", "), ctl_text(route.at("route")),
                     joined(route.at("match"), " and ", "any"), ctl_text(route.at("action"))});
        }
      }
    }
    ctl_write_table(context, table, "no routes");
  });
}

// --- connections

void add_connections_options(po::options_description& options) {
  add_view_options(options);
  options.add_options()("side", po::value<std::string>()->value_name("SIDE"), "clients or upstreams alone")(
      "listener", po::value<std::string>()->value_name("NAME"), "of this listener")(
      "cluster", po::value<std::string>()->value_name("NAME"), "of this cluster")(
      "peer", po::value<std::string>()->value_name("ADDRESS"), "with this address")(
      "limit", po::value<std::string>()->value_name("N"), "show so many, the oldest first; 100 if not given");
}

std::string connections_target(const po::variables_map& options) {
  std::string target = "/v1/connections";
  char between = '?';
  for (const char* key : {"side", "listener", "cluster", "peer", "limit"}) {
    if (options.count(key) == 0) continue;
    target +=
        fmt::format("{}{}={}", std::exchange(between, '&'), key, api_segment(options[key].as<std::string>()));
  }
  return target;
}

void show_connections(const CtlContext& context, const Json& answer) {
  Table table({{"SIDE"},
               {"OF"},
               {"PEER"},
               {"WORKER", kRight},
               {"PROTOCOL"},
               {"TLS"},
               {"STATE"},
               {"AGE", kRight},
               {"STREAMS", kRight},
               {"BYTES IN", kRight},
               {"BYTES OUT", kRight}});
  for (const Json& connection : answer.at("connections")) {
    const auto text = [&](const char* key) { return ctl_text(connection.at(key)); };
    table.add({text("side"), text(connection.contains("cluster") ? "cluster" : "listener"), text("peer"),
               text("worker"), text("protocol"), text("tls"), state_cell(text("state")),
               duration_words(connection.at("age_ms").get<int64_t>() / 1000), text("streams"),
               text("bytes_in"), text("bytes_out")});
  }
  ctl_write_table(context, table, "no connections");
  const auto matched = answer.at("matched").get<uint64_t>();
  const auto shown = answer.at("shown").get<uint64_t>();
  if (shown < matched) context.output.out << fmt::format("{} of {}; --limit shows more\n", shown, matched);
  if (answer.at("silent_workers").get<uint64_t>() > 0) {
    context.output.out << fmt::format("{} of the workers did not answer in time: theirs are missing\n",
                                      answer.at("silent_workers").get<uint64_t>());
  }
}

int run_connections(const CtlContext& context, const po::variables_map& options) {
  return ctl_repeat(context, options, [&](const CtlContext& turn) {
    return ctl_show(turn, options, "GET", connections_target(options), "",
                    [&](const Json& answer) { show_connections(turn, answer); });
  });
}

// --- stats

void add_proxy_stats_options(po::options_description& options) {
  options.add_options()("json", "the server's answer as one line of JSON");
  add_repeat_options(options, "repeat, every second or as told, and show rates per second");
}

/// Counters of one answer, to be compared with those of the next.
struct Sampled {
  std::chrono::steady_clock::time_point at;
  std::map<std::string, double> counters;
};

std::string labels_text(const Json& labels) {
  std::string text;
  for (const auto& [name, value] : labels.items())
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", name, ctl_text(value));
  return text;
}

Sampled show_stats(const CtlContext& context, const Json& answer, const std::optional<Sampled>& before) {
  Sampled now{std::chrono::steady_clock::now(), {}};
  std::vector<Table::Column> columns{{"METRIC"}, {"LABELS"}, {"VALUE", kRight}};
  if (before) columns.push_back({"PER S", kRight});
  Table table(columns);
  for (const Json& metric : answer.at("metrics")) {
    for (const Json& sample : metric.at("samples")) {
      const std::string name = ctl_text(sample.at("name"));
      // Buckets are for machines.
      if (name.ends_with("_bucket")) continue;
      const std::string labels = labels_text(sample.at("labels"));
      std::vector<Table::Cell> cells{name, labels, ctl_text(sample.at("value"))};
      if (metric.at("kind") != "gauge" && sample.at("value").is_number()) {
        const std::string key = name + ' ' + labels;
        const double value = sample.at("value").get<double>();
        now.counters[key] = value;
        const double seconds = before ? std::chrono::duration<double>(now.at - before->at).count() : 0;
        const auto earlier = before ? before->counters.find(key) : now.counters.end();
        if (before && earlier != before->counters.end() && seconds > 0 && value >= earlier->second)
          cells.push_back(fmt::format("{:.0f}", (value - earlier->second) / seconds));
      }
      table.add(std::move(cells));
    }
  }
  ctl_write_table(context, table, "no such metrics; `sluicectl proxy stats` lists all");
  return now;
}

int run_stats(const CtlContext& context, const po::variables_map& options) {
  std::optional<Sampled> earlier;
  const std::string target =
      context.words.empty() ? "/v1/stats" : "/v1/stats?name=" + api_segment(context.words[0]);
  return ctl_repeat(context, options, [&](const CtlContext& turn) {
    return ctl_show(turn, options, "GET", target, "",
                    [&](const Json& answer) { earlier = show_stats(turn, answer, earlier); });
  });
}

constexpr CtlVerb kVerbs[] = {
    {"proxy status", "how a sluice-proxy is set up, and how its requests ended", add_view_options,
     run_status},
    {"proxy clusters", "the endpoints of a cluster, or of all: who gets requests, and why not the others",
     add_view_options, run_clusters, "[CLUSTER]"},
    {"proxy routes", "the routes of all listeners in their order", add_view_options, run_routes},
    {"proxy connections", "connections of clients and to endpoints", add_connections_options,
     run_connections},
    {"proxy stats", "the metrics, or those with NAME in their name", add_proxy_stats_options, run_stats,
     "[NAME]"},
    {"proxy explain", "what would become of a request: listener, route, endpoint, and why",
     add_explain_options, ctl_proxy_explain, "[METHOD] URL"},
};

}  // namespace

std::string ctl_text(const Json& value) {
  if (value.is_null()) return "";
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string ctl_percent(double share) {
  return fmt::format("{:.4g} %", share * 100);
}

std::span<const CtlVerb> ctl_proxy_verbs() {
  return kVerbs;
}

}  // namespace sluice
