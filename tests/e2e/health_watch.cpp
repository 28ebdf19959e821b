// Checks backends and prints what is known of their health, one JSON object a line, at each change. For
// tests/e2e/health; also handy to try a check before it goes into a configuration:
//
//   health_watch '{"kind": "http", "address": "192.0.2.1", "port": 80, "path": "/health"}'...
//
// SIGTERM and SIGINT end the program. Each target is a pool of its own, named 0, 1, ...
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <chrono>
#include <csignal>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "control/health/health_checks.h"

namespace {

using nlohmann::json;
using sluice::HealthCheckKind;
using sluice::IpAddress;
using sluice::control::HealthChecks;
using sluice::control::HealthTarget;

const std::map<std::string, HealthCheckKind> kKinds = {
    {"tcp", HealthCheckKind::kTcp},     {"http", HealthCheckKind::kHttp},
    {"https", HealthCheckKind::kHttps}, {"http2", HealthCheckKind::kHttp2},
    {"grpc", HealthCheckKind::kGrpc},   {"udp", HealthCheckKind::kUdp},
    {"icmp", HealthCheckKind::kIcmp},   {"external", HealthCheckKind::kExternal}};

HealthTarget read_target(const json& text, size_t number) {
  HealthTarget target;
  target.pool = std::to_string(number);
  target.backend = text.value("backend", "b" + target.pool);
  target.address = IpAddress::parse(text.at("address").get<std::string>()).value();
  target.port = text.value("port", uint16_t{0});
  sluice::HealthCheck& check = target.check;
  check.kind = kKinds.at(text.at("kind").get<std::string>());
  check.interval = std::chrono::milliseconds(text.value("interval_ms", 200));
  check.fast_interval = std::chrono::milliseconds(text.value("fast_interval_ms", 50));
  check.timeout = std::chrono::milliseconds(text.value("timeout_ms", 500));
  check.rise = text.value("rise", 1u);
  check.fall = text.value("fall", 1u);
  check.path = text.value("path", "/");
  check.host = text.value("host", "");
  check.expected_body = text.value("body", "");
  check.verify_certificate = text.value("verify_certificate", false);
  check.grpc_service = text.value("grpc_service", "");
  check.udp_payload = text.value("udp_payload", "");
  check.udp_expected = text.value("udp_expected", "");
  check.command = text.value("command", std::vector<std::string>{});
  if (text.contains("status")) {
    const auto status = text["status"].get<uint16_t>();
    check.expected_status = {{status, status}};
  }
  return target;
}

json describe(const HealthChecks& checks, const HealthTarget& target) {
  const auto* health = checks.find(target.pool, target.address);
  return {{"settled", health->settled},
          {"healthy", health->healthy},
          {"error", health->last_error},
          {"checks", health->checks},
          {"latency_us", health->latency.count()}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: health_watch TARGET...\n";
    return 2;
  }
  std::vector<HealthTarget> targets;
  for (int i = 1; i < argc; ++i) targets.push_back(read_target(json::parse(argv[i]), targets.size()));

  boost::asio::io_context io;
  boost::asio::signal_set signals(io, SIGTERM, SIGINT);
  signals.async_wait([&](const boost::system::error_code&, int) { io.stop(); });
  HealthChecks checks(io, [&] {
    json line = json::array();
    for (const HealthTarget& target : targets) line.push_back(describe(checks, target));
    // What a server said may be no UTF-8.
    std::cout << line.dump(-1, ' ', false, json::error_handler_t::replace) << std::endl;
  });
  checks.set_targets(targets);
  io.run();
  return 0;
}
