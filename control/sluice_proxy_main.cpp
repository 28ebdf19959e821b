// sluice-proxy: the L7 balancer. Reads its file, starts the workers, follows signals.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/program_options.hpp>
#include <csignal>
#include <cstdio>
#include <functional>
#include <iostream>

#include "control/file_limit.h"
#include "control/log.h"
#include "control/log_line.h"
#include "control/metrics/metrics_server.h"
#include "control/proxy/proxy_control.h"
#include "control/proxy/proxy_file.h"
#include "control/proxy/proxy_metrics.h"
#include "control/service_manager.h"
#include "dataplane/l7/kernel_tls.h"

namespace {

namespace po = boost::program_options;

enum ExitCode { kOk = 0, kFailed = 1, kUsage = 2, kBadConfig = 3 };

constexpr const char* kDefaultConfig = "/etc/sluice/proxy.yaml";
// As many as the kernel lets a process have without asking; each connection takes one.
constexpr uint64_t kFilesWanted = 1u << 20;

po::options_description options() {
  po::options_description all(
      "Usage: sluice-proxy [--config FILE]\n       sluice-proxy --envoy FILE [--workers N]\n"
      "       sluice-proxy --check FILE\n\nOptions");
  // clang-format off
  all.add_options()
      ("config", po::value<std::string>()->default_value(kDefaultConfig)->value_name("FILE"), "run with this file")
      ("envoy", po::value<std::string>()->value_name("FILE"), "run with this static bootstrap of Envoy's")
      ("workers", po::value<uint32_t>()->value_name("N"), "Envoy's file: threads that carry requests, 1 to 256; otherwise one per processor")
      ("check", po::value<std::string>()->value_name("FILE"), "check a file, say what is wrong with it, and exit")
      ("help", "show this and exit")
      ("version", "show the version and exit");
  // clang-format on
  return all;
}

int check(const sluice::ProxyFile& file) {
  const std::string& path = file.path;
  const auto loaded = sluice::load_proxy_file(file);
  if (!loaded) {
    std::cerr << loaded.error().message << '\n';
    return kBadConfig;
  }
  for (const std::string& warning : loaded->warnings) fmt::print("warning: {}\n", warning);
  const sluice::ProxyConfig* config = &loaded->config;
  // Certificates and all else that the file names are read, too.
  const auto snapshot =
      sluice::l7::build_snapshot(std::make_shared<sluice::l7::ProxySettings>(config->settings), nullptr,
                                 std::chrono::steady_clock::now());
  if (!snapshot) {
    fmt::print(stderr, "{}: {}\n", path, snapshot.error().message);
    return kBadConfig;
  }
  for (const std::string& warning : snapshot->tls->warnings) fmt::print("{}: warning: {}\n", path, warning);
  size_t endpoints = 0;
  for (const auto& cluster : config->settings.clusters) endpoints += cluster.endpoints.size();
  fmt::print("{}: good: {} listeners, {} clusters, {} endpoints\n", path, config->settings.listeners.size(),
             config->settings.clusters.size(), endpoints);
  return kOk;
}

void log_warnings(const std::vector<std::string>& warnings) {
  for (const std::string& warning : warnings)
    spdlog::warn("event=config_warning text={}", sluice::log_quoted(warning));
}

/// Takes the file anew; false: nothing has changed.
bool reload(sluice::control::ProxyControl& control, const sluice::ProxyFile& file) {
  const std::string& path = file.path;
  auto loaded = sluice::load_proxy_file(file);
  auto applied = loaded ? control.apply(std::move(loaded->config))
                        : sluice::Result<void>(tl::unexpected(loaded.error()));
  if (applied) {
    log_warnings(loaded->warnings);
    spdlog::info("event=reloaded file={}", path);
  } else {
    spdlog::error("event=reload_refused file={} nothing_changed=true error={}", path,
                  sluice::log_quoted(applied.error().message));
  }
  return applied.has_value();
}

int run(const sluice::ProxyFile& file) {
  const std::string& path = file.path;
  sluice::ServiceManager manager;
  auto loaded = sluice::load_proxy_file(file);
  if (!loaded) {
    std::cerr << loaded.error().message << '\n';
    return kBadConfig;
  }
  sluice::ProxyConfig* config = &loaded->config;
  if (auto opened = sluice::open_log("sluice-proxy", config->log); !opened) {
    std::cerr << opened.error().message << '\n';
    return kFailed;
  }
  // Before the first worker, so that none of them takes a signal.
  boost::asio::io_context io;
  boost::asio::signal_set signals(io, SIGTERM, SIGINT, SIGHUP);
  std::signal(SIGPIPE, SIG_IGN);
  sluice::raise_file_limit(kFilesWanted);

  log_warnings(loaded->warnings);
  auto control = sluice::control::ProxyControl::start(io, std::move(*config));
  if (!control) {
    std::cerr << control.error().message << '\n';
    return kFailed;
  }
  const auto& started = (*control)->config();
  sluice::ProxyMetricsInput about{started.name, SLUICE_VERSION};
  std::unique_ptr<sluice::MetricsServer> metrics;
  if (started.metrics) {
    auto opened = sluice::MetricsServer::open(started.metrics->address, started.metrics->port);
    if (!opened) {
      std::cerr << "metrics: " << opened.error().message << '\n';
      return kFailed;
    }
    metrics = *std::move(opened);
    metrics->start([&](const std::atomic<bool>& stopping) -> sluice::Result<std::string> {
      constexpr std::chrono::seconds kLimit{4};
      auto text = sluice::ask_thread(
          io,
          [&] {
            about.discoveries = (*control)->discoveries().status();
            return render_proxy_metrics(about, (*control)->proxy());
          },
          stopping, kLimit);
      if (!text) return sluice::fail("the control thread is busy; try again");
      return *std::move(text);
    });
  }
  spdlog::info(
      "event=started version={} pid={} file={} proxy={} workers={} listeners={} clusters={} kernel_tls={}",
      SLUICE_VERSION, getpid(), path, sluice::log_quoted(started.name), started.settings.workers,
      started.settings.listeners.size(), started.settings.clusters.size(),
      sluice::log_quoted(sluice::l7::kernel_tls_state()));
  const std::function<void(const boost::system::error_code&, int)> on_signal = [&](const auto& cancelled,
                                                                                   int signal) {
    if (cancelled) return;
    if (signal == SIGHUP) {
      about.reload_good = reload(**control, file);
      signals.async_wait(on_signal);
      return;
    }
    spdlog::info("event=draining signal={}", signal);
    manager.stopping();
    about.draining = true;
    (*control)->drain([&io](uint64_t left) {
      spdlog::info("event=drained clients_left={}", left);
      io.stop();
    });
    // A second signal does not wait.
    signals.async_wait([&io](const auto& again, int) {
      if (!again) io.stop();
    });
  };
  signals.async_wait(on_signal);
  manager.ready();
  io.run();
  metrics.reset();
  (*control)->stop();
  spdlog::info("event=stopped");
  return kOk;
}

}  // namespace

int main(int argc, char** argv) {
  po::variables_map given;
  try {
    po::store(po::command_line_parser(argc, argv).options(options()).positional({}).run(), given);
    po::notify(given);
  } catch (const po::error& error) {
    fmt::print(stderr, "sluice-proxy: {}; see sluice-proxy --help\n", error.what());
    return kUsage;
  }
  if (given.contains("help")) {
    std::cout << options();
    return kOk;
  }
  if (given.contains("version")) {
    fmt::print("sluice-proxy {}\n", SLUICE_VERSION);
    return kOk;
  }
  sluice::ProxyFile file;
  if (given.contains("workers")) file.workers = given["workers"].as<uint32_t>();
  if (given.contains("workers") && (file.workers < 1 || file.workers > 256)) {
    fmt::print(stderr, "sluice-proxy: found --workers {}; accepted: 1 to 256\n", file.workers);
    return kUsage;
  }
  if (given.contains("envoy") && (given.contains("check") || !given["config"].defaulted())) {
    fmt::print(stderr, "sluice-proxy: found --envoy beside {}; accepted: one of them\n",
               given.contains("check") ? "--check" : "--config");
    return kUsage;
  }
  file.envoy = given.contains("envoy");
  file.path = given[file.envoy ? "envoy" : given.contains("check") ? "check" : "config"].as<std::string>();
  return given.contains("check") ? check(file) : run(file);
}
