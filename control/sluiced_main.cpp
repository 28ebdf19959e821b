// sluiced: the L4 balancer. Reads its file, starts the node, follows signals.
#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/program_options.hpp>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <iostream>

#include "control/api_server.h"
#include "control/config.h"
#include "control/node.h"
#include "control/node_report.h"
#include "control/report_api.h"
#include "control/service_api.h"
#include "control/service_store.h"

namespace {

namespace po = boost::program_options;
using sluice::Result;
using sluice::control::Node;

enum ExitCode { kOk = 0, kFailed = 1, kUsage = 2, kBadConfig = 3 };

constexpr const char* kDefaultConfig = "/etc/sluice/sluiced.yaml";

po::options_description options() {
  po::options_description all("Usage: sluiced [--config FILE]\n       sluiced --check FILE\n\nOptions");
  // clang-format off
  all.add_options()
      ("config", po::value<std::string>()->default_value(kDefaultConfig)->value_name("FILE"), "run with this file")
      ("check", po::value<std::string>()->value_name("FILE"), "check a file, say what is wrong with it, and exit")
      ("help", "show this and exit")
      ("version", "show the version and exit");
  // clang-format on
  return all;
}

int check(const std::string& path) {
  const auto config = sluice::load_config(path);
  if (!config) {
    std::cerr << config.error().message << '\n';
    return kBadConfig;
  }
  size_t backends = 0;
  for (const auto& pool : config->services.pools) backends += pool.backends.size();
  fmt::print("{}: good: {} ports, {} VIPs, {} pools, {} backends\n", path, config->ports.size(),
             config->services.vips.size(), config->services.pools.size(), backends);
  return kOk;
}

/// Takes the file anew; the returned text says why nothing changed, or is "".
std::string reload(sluice::ServiceStore& store, const Node& node) {
  const auto changed = store.reload();
  if (changed) {
    spdlog::info("event=reloaded file={} generation={}", node.config_path(), node.generation());
    return "";
  }
  spdlog::error("event=reload_refused file={} nothing_changed=true error=\"{}\"", node.config_path(),
                changed.error().message);
  return changed.error().message;
}

/// POST /v1/node/drain and /v1/node/undrain.
void serve_node_drain(sluice::ApiServer& api, Node& node, sluice::EventLog& events) {
  for (const bool draining : {true, false}) {
    const std::string action = draining ? "drain" : "undrain";
    api.route("POST", "/v1/node/" + action, [&node, &events, draining, action](const sluice::ApiRequest&) {
      node.drain(draining);
      events.record("node", action + " by the API");
      return sluice::ApiResponse{200, fmt::format("{{\"draining\": {}}}", draining)};
    });
  }
}

/// Runs until SIGTERM or SIGINT.
int run(const std::string& path) {
  sluice::EventLog events;
  auto store = sluice::ServiceStore::open(path, events);
  if (!store) {
    std::cerr << store.error().message << '\n';
    return kBadConfig;
  }
  const std::string socket = (*store)->config().node.control_socket();
  boost::asio::io_context io;
  boost::asio::signal_set signals(io, SIGTERM, SIGINT, SIGHUP);
  auto api = sluice::ApiServer::open(io, socket);
  if (!api) {
    std::cerr << "sluiced: " << api.error().message << '\n';
    return kFailed;
  }
  auto node = Node::start(io, (*store)->config(), path);
  if (!node) {
    std::cerr << "sluiced: " << node.error().message << '\n';
    return kFailed;
  }
  (*store)->on_apply([&](sluice::Config config) { return (*node)->apply(std::move(config)); });
  std::string config_error;
  sluice::serve_reports(**api, [&] { return sluice::control::report_of(**node, config_error); });
  sluice::serve_events(**api, events);
  serve_node_drain(**api, **node, events);
  sluice::serve_services(**api, **store);
  spdlog::info("event=started version={} pid={} file={} socket={}", SLUICE_VERSION, getpid(), path, socket);

  boost::asio::steady_timer withdrawal(io);
  const auto stop_after_withdrawal = [&] {
    (*node)->withdraw();
    const auto& announce = (*node)->config().announce;
    withdrawal.expires_after(announce ? announce->stop_delay : std::chrono::seconds(0));
    withdrawal.async_wait([&](const auto& failed) {
      if (!failed) io.stop();
    });
  };
  const std::function<void(const boost::system::error_code&, int)> on_signal = [&](const auto& failed,
                                                                                   int signal) {
    if (failed) return;
    if (signal != SIGHUP) {
      spdlog::info("event=stopping signal={}", signal);
      stop_after_withdrawal();
      // A second signal does not wait.
      signals.async_wait([&](const auto& again, int) {
        if (!again) io.stop();
      });
      return;
    }
    config_error = reload(**store, **node);
    signals.async_wait(on_signal);
  };
  signals.async_wait(on_signal);
  io.run();

  (*api)->stop();
  (*node)->stop();
  spdlog::info("event=stopped");
  return kOk;
}

}  // namespace

int main(int argc, char** argv) {
  spdlog::set_default_logger(spdlog::stderr_color_mt("sluiced"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e%z level=%l %v");
  po::variables_map given;
  try {
    po::store(po::parse_command_line(argc, argv, options()), given);
    po::notify(given);
  } catch (const po::error& error) {
    std::cerr << "sluiced: " << error.what() << "; see sluiced --help\n";
    return kUsage;
  }
  if (given.count("help") != 0) {
    std::cout << options() << '\n';
    return kOk;
  }
  if (given.count("version") != 0) {
    fmt::print("sluiced {}\n", SLUICE_VERSION);
    return kOk;
  }
  if (given.count("check") != 0) return check(given["check"].as<std::string>());
  return run(given["config"].as<std::string>());
}
