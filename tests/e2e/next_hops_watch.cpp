// Prints what control/next_hops says about some addresses, one JSON object a line, at the start and at each
// change. For test_next_hops.py; also handy on a real machine:
//
//   next_hops_watch BACKENDS_FILE PORT_INTERFACE...
//
// BACKENDS_FILE has an address a line and is read again on SIGHUP. SIGTERM and SIGINT end the program. The
// times of NextHopTiming come from $SLUICE_RETRY_MS and $SLUICE_REFRESH_MS where these are set.
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "control/next_hops.h"

namespace {

using sluice::IpAddress;
using sluice::control::NextHops;
using sluice::control::NextHopTiming;

std::vector<IpAddress> read_backends(const char* path) {
  std::vector<IpAddress> backends;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    backends.push_back(IpAddress::parse(line).value());
  }
  return backends;
}

NextHopTiming timing_from_environment() {
  NextHopTiming timing;
  if (const char* retry = std::getenv("SLUICE_RETRY_MS")) {
    timing.retry = std::chrono::milliseconds(std::atoi(retry));
  }
  if (const char* refresh = std::getenv("SLUICE_REFRESH_MS")) {
    timing.refresh = std::chrono::milliseconds(std::atoi(refresh));
  }
  return timing;
}

nlohmann::json describe(const NextHops& next_hops, const IpAddress& backend) {
  const auto hop = next_hops.find(backend);
  if (!hop) {
    return {{"why", hop.error().message}};
  }
  return {{"interface", hop->interface},
          {"source", hop->source.to_string()},
          {"destination", hop->destination.to_string()},
          {"mtu", hop->mtu}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: next_hops_watch BACKENDS_FILE PORT_INTERFACE...\n";
    return 2;
  }
  boost::asio::io_context io;
  std::vector<IpAddress> backends = read_backends(argv[1]);
  std::function<void()> print = [] {};  // not during start-up
  NextHops next_hops(
      io, {argv + 2, argv + argc}, [&] { print(); }, timing_from_environment());
  boost::asio::signal_set signals(io, SIGHUP, SIGTERM, SIGINT);
  std::function<void(const boost::system::error_code&, int)> on_signal =
      [&](const boost::system::error_code& error, int signal) {
        if (error || signal != SIGHUP) {
          io.stop();
          return;
        }
        backends = read_backends(argv[1]);
        next_hops.track(backends);
        print();
        signals.async_wait(on_signal);
      };
  signals.async_wait(on_signal);

  if (const auto started = next_hops.start(); !started) {
    std::cerr << started.error().message << '\n';
    return 1;
  }
  next_hops.track(backends);
  next_hops.run_until_settled(std::chrono::seconds(1));
  std::cerr << (next_hops.settled() ? "settled" : "not settled") << std::endl;
  print = [&] {
    nlohmann::json line;
    for (const IpAddress& backend : backends) {
      line[backend.to_string()] = describe(next_hops, backend);
    }
    std::cout << line.dump() << std::endl;
  };
  print();
  io.run();
  return 0;
}
