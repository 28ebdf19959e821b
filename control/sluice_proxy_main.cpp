// sluice-proxy: the L7 balancer. Reads its file, starts the workers, follows signals.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <boost/program_options.hpp>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include "control/config_text.h"
#include "control/log.h"
#include "control/log_line.h"
#include "control/proxy/named_files.h"
#include "control/proxy/proxy_file.h"
#include "control/proxy/proxy_service.h"
#include "control/service_manager.h"
#include "dataplane/l7/snapshot.h"

namespace {

namespace po = boost::program_options;

enum ExitCode { kOk = 0, kFailed = 1, kUsage = 2, kBadConfig = 3 };

constexpr const char* kDefaultConfig = "/etc/sluice/proxy.yaml";

po::options_description options() {
  po::options_description all(
      "Usage: sluice-proxy [--config FILE] [--upgrade] [--run-dir DIR]\n       sluice-proxy --envoy FILE "
      "[--workers N] [--upgrade] [--run-dir DIR]\n"
      "       sluice-proxy --check FILE\n\nOptions");
  // clang-format off
  all.add_options()
      ("config", po::value<std::string>()->default_value(kDefaultConfig)->value_name("FILE"), "run with this file")
      ("run-dir", po::value<std::string>()->value_name("DIR"), "directory of the control socket, in the place of proxy.run_dir")
      ("envoy", po::value<std::string>()->value_name("FILE"), "run with this static bootstrap of Envoy's")
      ("workers", po::value<uint32_t>()->value_name("N"), "Envoy's file: threads that carry requests, 1 to 256; otherwise one per processor")
      ("upgrade", "take over from the sluice-proxy that runs with this file, without a gap")
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
  const auto files = sluice::control::look_at_named_files(*config);
  for (const std::string& warning : files.warnings) fmt::print("warning: {}\n", warning);
  for (const std::string& error : files.errors) fmt::print(stderr, "{}: {}\n", path, error);
  if (!files.errors.empty()) return kBadConfig;
  size_t endpoints = files.endpoints;
  for (const auto& cluster : config->settings.clusters) endpoints += cluster.endpoints.size();
  fmt::print("{}: good: {} listeners, {} clusters, {} endpoints\n", path, config->settings.listeners.size(),
             config->settings.clusters.size(), endpoints);
  return kOk;
}

int run(sluice::control::ProxyService::Given given) {
  sluice::ServiceManager manager;
  auto loaded = sluice::load_proxy_file(given.file);
  if (!loaded) {
    std::cerr << loaded.error().message << '\n';
    return kBadConfig;
  }
  if (auto opened = sluice::open_log("sluice-proxy", loaded->config.log); !opened) {
    std::cerr << opened.error().message << '\n';
    return kFailed;
  }
  std::signal(SIGPIPE, SIG_IGN);
  sluice::control::ProxyService service(std::move(given), manager);
  if (auto started = service.start(*std::move(loaded)); !started) {
    if (service.stopped_early()) {
      spdlog::info("event=stopped");
      return kOk;
    }
    std::cerr << started.error().message << '\n';
    return kFailed;
  }
  service.run();
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
  if (given.contains("run-dir")) {
    const auto directory = sluice::parse_run_dir(given["run-dir"].as<std::string>());
    if (!directory) {
      fmt::print(stderr,
                 "sluice-proxy: --run-dir: found '{}'; accepted: an absolute path of at most 90 bytes\n",
                 given["run-dir"].as<std::string>());
      return kUsage;
    }
    file.run_dir = *directory;
  }
  file.envoy = given.contains("envoy");
  file.path = given[file.envoy ? "envoy" : given.contains("check") ? "check" : "config"].as<std::string>();
  return given.contains("check") ? check(file) : run({file, given.contains("upgrade")});
}
