// What thousands of TCP health checks cost the control thread: health_bench [BACKENDS [INTERVAL_MS
// [SECONDS]]]. Backends are addresses in 127.0.0.0/8, so that each is another one to the kernel; one listener
// per port, in a thread of its own whose time does not count. Prints JSON.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <charconv>
#include <chrono>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "control/health/health_checks.h"

namespace {

using boost::asio::ip::tcp;
using sluice::IpAddress;
using sluice::control::HealthChecks;
using sluice::control::HealthTarget;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// CPU time of this thread.
double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

/// Accepts and closes on every address of the loopback.
class Listener {
 public:
  Listener() : acceptor_(io_, tcp::endpoint(tcp::v4(), 0)) {
    accept();
    thread_ = std::thread([this] { io_.run(); });
  }
  ~Listener() {
    io_.stop();
    thread_.join();
  }
  uint16_t port() const { return acceptor_.local_endpoint().port(); }

 private:
  void accept() {
    acceptor_.async_accept([this](const boost::system::error_code&, tcp::socket) { accept(); });
  }
  boost::asio::io_context io_;
  tcp::acceptor acceptor_;
  std::thread thread_;
};

uint64_t checks_of(const HealthChecks& checks, const std::vector<HealthTarget>& targets) {
  uint64_t sum = 0;
  for (const HealthTarget& target : targets) sum += checks.find(target.pool, target.address)->checks;
  return sum;
}

uint32_t argument(int argc, char** argv, int index, uint32_t otherwise) {
  if (index >= argc) return otherwise;
  const std::string_view text = argv[index];
  std::from_chars(text.data(), text.data() + text.size(), otherwise);
  return otherwise;
}

}  // namespace

int main(int argc, char** argv) {
  const uint32_t backends = argument(argc, argv, 1, 10'000);
  const milliseconds interval(argument(argc, argv, 2, 2000));
  const std::chrono::seconds length(argument(argc, argv, 3, 10));
  spdlog::set_level(spdlog::level::warn);
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);

  Listener listener;
  std::vector<HealthTarget> targets;
  for (uint32_t i = 0; i < backends; ++i) {
    HealthTarget target{
        .pool = fmt::format("pool{}", i % 1000), .backend = fmt::format("b{}", i), .port = listener.port()};
    const uint32_t host = i + 256;
    target.address = IpAddress::v4(127, static_cast<uint8_t>(host >> 16), static_cast<uint8_t>(host >> 8),
                                   static_cast<uint8_t>(host));
    target.check.kind = sluice::HealthCheckKind::kTcp;
    target.check.interval = interval;
    targets.push_back(target);
  }

  boost::asio::io_context io;
  HealthChecks checks(io, [] {});
  const double cpu_before_set = cpu_seconds();
  checks.set_targets(targets);
  const double set_ms = (cpu_seconds() - cpu_before_set) * 1e3;
  io.run_for(interval * 2);  // first checks

  const uint64_t checks_before = checks_of(checks, targets);
  const double cpu_before = cpu_seconds();
  const auto began = steady_clock::now();
  io.run_for(length);
  const double cpu = cpu_seconds() - cpu_before;
  const double seconds = std::chrono::duration<double>(steady_clock::now() - began).count();
  const auto done = static_cast<double>(checks_of(checks, targets) - checks_before);

  uint64_t failures = 0;
  uint32_t healthy = 0;
  std::vector<int64_t> latencies;
  for (const HealthTarget& target : targets) {
    const auto& health = *checks.find(target.pool, target.address);
    failures += health.failures;
    healthy += health.healthy ? 1 : 0;
    latencies.push_back(health.latency.count());
  }
  std::sort(latencies.begin(), latencies.end());
  fmt::print(
      "{{\"backends\": {}, \"interval_ms\": {}, \"seconds\": {:.1f}, \"checks_per_s\": {:.0f}, "
      "\"wanted_per_s\": {:.0f}, "
      "\"cpu_percent\": {:.1f}, \"cpu_us_per_check\": {:.1f}, \"healthy\": {}, \"failures\": {}, "
      "\"latency_us_median\": {}, \"latency_us_p99\": {}, \"set_targets_ms\": {:.1f}}}\n",
      backends, interval.count(), seconds, done / seconds,
      backends * 1e3 / static_cast<double>(interval.count()), cpu / seconds * 100, cpu / done * 1e6, healthy,
      failures, latencies[latencies.size() / 2], latencies[latencies.size() * 99 / 100], set_ms);
  return healthy == backends ? 0 : 1;
}
