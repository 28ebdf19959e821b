// sluiced: the L4 balancer. Reads its file, starts the node, follows signals.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

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
#include "control/file_limit.h"
#include "control/flow_api.h"
#include "control/log.h"
#include "control/log_api.h"
#include "control/log_line.h"
#include "control/metrics/metrics_server.h"
#include "control/metrics/node_metrics.h"
#include "control/node.h"
#include "control/node_report.h"
#include "control/privileges.h"
#include "control/report_api.h"
#include "control/service_api.h"
#include "control/service_manager.h"
#include "control/service_store.h"
#include "control/syscall_filter.h"

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
  spdlog::error("event=reload_refused file={} nothing_changed=true error={}", node.config_path(),
                sluice::log_quoted(changed.error().message));
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

/// Gives up what is not needed any more: from here on nothing new can be had.
Result<void> restrict_process(const std::string& config_path) {
  if (auto dropped = sluice::drop_privileges(); !dropped) return dropped;
  const auto filtered = sluice::deny_syscalls();
  if (!filtered)
    spdlog::warn("event=syscall_filter_off error={}", sluice::log_quoted(filtered.error().message));
  spdlog::info("event=restricted capabilities={} denied_syscalls={}",
               sluice::log_quoted(sluice::effective_capabilities()),
               filtered ? sluice::denied_syscalls().size() : 0);
  // Root without capabilities is bound by the file's mode as anybody is.
  if (access(config_path.c_str(), R_OK) != 0) {
    spdlog::warn("event=config_not_readable file={} error=\"a reload will fail: make root its owner\"",
                 config_path);
  }
  return {};
}

/// Sees to it that the limit of open files is enough for `services`.
void provide_files(const sluice::Services& services) {
  const uint64_t needed = sluice::files_needed(services);
  const uint64_t limit = sluice::raise_file_limit(needed);
  if (limit < needed) spdlog::warn("event=too_few_files limit={} needed={}", limit, needed);
}

/// What changes with the file or the services beside the node itself.
class Settings {
 public:
  explicit Settings(const sluice::Config& config) : level_(config.log.level) {
    provide_files(config.services);
  }

  void apply(const sluice::Config& config) {
    provide_files(config.services);
    // A level that was set by API stays until the file's changes.
    if (config.log.level != level_) sluice::set_log_level(config.log.level);
    level_ = config.log.level;
  }

 private:
  sluice::LogLevel level_;
};

/// Once a second: tells systemd that this thread is alive, and the log what it left out.
class Heartbeat {
 public:
  Heartbeat(boost::asio::io_context& io, sluice::ServiceManager& manager) : timer_(io), manager_(manager) {
    // Twice in what systemd waits.
    if (manager.watchdog())
      interval_ = std::min<std::chrono::microseconds>(interval_, *manager.watchdog() / 2);
    beat();
  }

 private:
  void beat() {
    manager_.alive();
    sluice::log_suppressed_lines();
    timer_.expires_after(interval_);
    timer_.async_wait([this](const auto& failed) {
      if (!failed) beat();
    });
  }

  boost::asio::steady_timer timer_;
  sluice::ServiceManager& manager_;
  std::chrono::microseconds interval_{std::chrono::seconds(1)};
};

Result<std::unique_ptr<sluice::MetricsServer>> open_metrics(const sluice::Config& config) {
  if (!config.metrics) return nullptr;
  return sluice::MetricsServer::open(config.metrics->address, config.metrics->port);
}

/// Makes the text of one scrape: numbers from the control thread, the rest here.
sluice::MetricsServer::Render metrics_renderer(boost::asio::io_context& io,
                                               sluice::control::NodeMetrics& metrics,
                                               const std::string& config_error) {
  return [&](const std::atomic<bool>& stopping) -> Result<std::string> {
    constexpr std::chrono::seconds kLimit{4};
    const auto snapshot = sluice::ask_thread(
        io, [&] { return metrics.snapshot(config_error.empty()); }, stopping, kLimit);
    if (!snapshot) return sluice::fail("the control thread is busy; try again");
    return render_metrics(*snapshot, sluice::log_numbers(), sluice::process_numbers());
  };
}

int failed(const std::string& message, ExitCode code = kFailed) {
  std::cerr << (code == kFailed ? "sluiced: " : "") << message << '\n';
  return code;
}

/// Runs until SIGTERM or SIGINT.
int run(const std::string& path) {
  sluice::ServiceManager manager;
  sluice::EventLog events;
  auto store = sluice::ServiceStore::open_locked(path, events);
  if (!store) return failed(store.error().message, kBadConfig);
  const sluice::Config& config = (*store)->config();
  if (auto log = sluice::open_log("sluiced", config.log); !log) return failed(log.error().message);
  Settings settings(config);
  const std::string socket = config.node.control_socket();
  boost::asio::io_context io;
  boost::asio::signal_set signals(io, SIGTERM, SIGINT, SIGHUP);
  auto api = sluice::ApiServer::open(io, socket);
  if (!api) return failed(api.error().message);
  auto metrics_server = open_metrics(config);
  if (!metrics_server) return failed(metrics_server.error().message);
  auto node = Node::start(io, config, path);
  if (!node) return failed(node.error().message);
  if (auto restricted = restrict_process(path); !restricted) return failed(restricted.error().message);

  (*store)->on_apply([&](sluice::Config wanted) {
    const sluice::Config applied = wanted;
    auto done = (*node)->apply(std::move(wanted));
    if (done) settings.apply(applied);
    return done;
  });
  std::string config_error;
  sluice::serve_reports(**api, [&] { return sluice::control::report_of(**node, config_error); });
  sluice::serve_flows(**api, [&](bool ask) { return sluice::control::flow_report_of(**node, ask); });
  sluice::serve_events(**api, events);
  sluice::serve_log(**api, events);
  serve_node_drain(**api, **node, events);
  sluice::serve_services(**api, **store);
  sluice::control::NodeMetrics metrics(**node);
  if (*metrics_server) (*metrics_server)->start(metrics_renderer(io, metrics, config_error));
  spdlog::info("event=started version={} pid={} file={} socket={}", SLUICE_VERSION, getpid(), path, socket);
  if (const sluice::StateLock& lock = (*store)->lock(); !lock.held()) {
    spdlog::warn("event=state_not_locked error={}", sluice::log_quoted(lock.why_not()));
  }
  manager.ready();
  const Heartbeat heartbeat(io, manager);

  boost::asio::steady_timer withdrawal(io);
  const auto stop_after_withdrawal = [&] {
    manager.stopping();
    (*node)->withdraw();
    const auto& announce = (*node)->config().announce;
    withdrawal.expires_after(announce ? announce->stop_delay : std::chrono::seconds(0));
    withdrawal.async_wait([&](const auto& cancelled) {
      if (!cancelled) io.stop();
    });
  };
  const std::function<void(const boost::system::error_code&, int)> on_signal = [&](const auto& cancelled,
                                                                                   int signal) {
    if (cancelled) return;
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

  metrics_server->reset();
  (*api)->stop();
  (*node)->stop();
  spdlog::info("event=stopped");
  return kOk;
}

}  // namespace

int main(int argc, char** argv) {
  (void)sluice::open_log("sluiced", {});
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
