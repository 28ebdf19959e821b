#include "control/health/health_checks.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace sluice::control {
namespace {

using boost::asio::ip::tcp;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;
using testing::HasSubstr;

const IpAddress kLoopback = IpAddress::v4(127, 0, 0, 1);

/// Accepts connections in the kernel's backlog until it is closed; then they are refused.
class Listener {
 public:
  explicit Listener(boost::asio::io_context& io) : acceptor_(io, tcp::endpoint(tcp::v4(), 0)) {
    port = acceptor_.local_endpoint().port();
    accept();
  }
  void close() { acceptor_.close(); }

  uint16_t port = 0;
  uint32_t accepted = 0;

 private:
  void accept() {
    acceptor_.async_accept([this](const boost::system::error_code& error, tcp::socket) {
      if (error) return;
      ++accepted;
      accept();
    });
  }
  tcp::acceptor acceptor_;
};

class HealthChecksTest : public testing::Test {
 protected:
  HealthChecksTest() { spdlog::set_level(spdlog::level::off); }

  HealthTarget target(uint16_t port, const std::string& pool = "web") {
    HealthTarget made{.pool = pool, .backend = "b1", .address = kLoopback, .port = port};
    made.check.kind = HealthCheckKind::kTcp;
    made.check.interval = milliseconds(50);
    made.check.fast_interval = milliseconds(20);
    made.check.rise = 1;
    made.check.fall = 1;
    return made;
  }
  const BackendHealth& health(const std::string& pool = "web") { return *checks_->find(pool, kLoopback); }

  [[nodiscard]] bool run_until(const std::function<bool()>& condition, milliseconds limit = seconds(20)) {
    const auto deadline = steady_clock::now() + limit;
    while (!condition() && steady_clock::now() < deadline) io_.run_one_for(milliseconds(20));
    return condition();
  }

  boost::asio::io_context io_;
  Listener listener_{io_};
  uint32_t changes_ = 0;
  std::unique_ptr<HealthChecks> checks_ = std::make_unique<HealthChecks>(io_, [this] { ++changes_; });
};

TEST_F(HealthChecksTest, ANewBackendIsUnhealthyUntilItsFirstGoodCheck) {
  HealthTarget slow = target(listener_.port);
  slow.check.rise = 100;
  checks_->set_targets({slow});
  EXPECT_FALSE(health().healthy);
  EXPECT_FALSE(health().settled);
  EXPECT_FALSE(checks_->settled());
  ASSERT_TRUE(run_until([&] { return changes_ == 1; }));
  EXPECT_TRUE(health().healthy);
  EXPECT_TRUE(checks_->settled());
  EXPECT_EQ(health().last_error, "");
  EXPECT_GT(health().latency.count(), 0);
  EXPECT_LE(health().since, system_clock::now());
}

TEST_F(HealthChecksTest, TheFirstBadCheckOfANewBackendIsAChangeToo) {
  listener_.close();
  checks_->set_targets({target(listener_.port)});
  ASSERT_TRUE(run_until([&] { return changes_ == 1; }));
  EXPECT_FALSE(health().healthy);
  EXPECT_TRUE(health().settled);
  EXPECT_EQ(health().last_error, "connection refused");
  EXPECT_EQ(health().failures, health().checks);
}

TEST_F(HealthChecksTest, ABackendFallsAndRises) {
  checks_->set_targets({target(listener_.port)});
  ASSERT_TRUE(run_until([&] { return health().healthy; }));
  const auto healthy_since = health().since;
  listener_.close();
  ASSERT_TRUE(run_until([&] { return !health().healthy; }));
  EXPECT_EQ(health().last_error, "connection refused");
  EXPECT_GT(health().since, healthy_since);
}

TEST_F(HealthChecksTest, AnAnswerMayDecideAtOnceButSilenceNever) {
  // Accepts and never answers, so for HTTP that is a time-out; nothing listens at the other port.
  HealthTarget silent = target(listener_.port, "silent");
  silent.trusted = true;
  silent.check.kind = HealthCheckKind::kHttp;
  silent.check.timeout = milliseconds(20);
  silent.check.fall = 2;
  silent.check.answer_decides = true;
  // An echo of the request is an answer, and no HTTP one.
  tcp::acceptor echo(io_, tcp::endpoint(tcp::v4(), 0));
  echo.async_accept([](const boost::system::error_code& error, tcp::socket socket) {
    if (!error)
      boost::asio::write(socket, boost::asio::buffer("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", 42));
  });
  HealthTarget answering = silent;
  answering.pool = "answering";
  answering.port = echo.local_endpoint().port();
  answering.check.timeout = seconds(5);
  checks_->set_targets({silent});
  ASSERT_TRUE(run_until([&] { return !health("silent").healthy; }));
  EXPECT_EQ(health("silent").failures, 2u);
  checks_->set_targets({answering});
  ASSERT_TRUE(run_until([&] { return !health("answering").healthy; }));
  EXPECT_EQ(health("answering").failures, 1u);
}

TEST_F(HealthChecksTest, WhoeverObservesIsToldOfEveryCheck) {
  std::vector<std::string> seen;
  checks_->set_observer([&](const CheckedEvent& event) {
    seen.push_back(fmt::format("{}{}{}{}",
                               event.result.verdict == CheckResult::Verdict::kGood ? "good" : "bad",
                               event.first ? " first" : "", event.changed ? " changed" : "",
                               event.result.failure == CheckResult::Failure::kNetwork ? " network" : ""));
  });
  HealthTarget trusted = target(listener_.port);
  trusted.trusted = true;
  trusted.check.fall = 2;
  checks_->set_targets({trusted});
  ASSERT_TRUE(run_until([&] { return seen.size() == 2; }));
  EXPECT_EQ(seen, (std::vector<std::string>{"good first", "good"}));
  listener_.close();
  seen.clear();
  ASSERT_TRUE(run_until([&] { return seen.size() >= 3; }));
  // The last check before the port closed may have ended behind it.
  if (seen.front() == "good") seen.erase(seen.begin());
  seen.resize(2);
  EXPECT_EQ(seen, (std::vector<std::string>{"bad network", "bad changed network"}));
}

TEST_F(HealthChecksTest, ATrustedBackendIsHealthyUntilEnoughBadChecks) {
  listener_.close();
  HealthTarget trusted = target(listener_.port);
  trusted.trusted = true;
  trusted.check.fall = 3;
  checks_->set_targets({trusted});
  ASSERT_TRUE(health().healthy);
  ASSERT_TRUE(run_until([&] { return health().failures == 2; }));
  EXPECT_TRUE(health().healthy);
  ASSERT_TRUE(run_until([&] { return health().failures == 3; }));
  EXPECT_FALSE(health().healthy);
}

TEST_F(HealthChecksTest, ABackendInDoubtIsCheckedAtTheFastInterval) {
  listener_.close();
  HealthTarget trusted = target(listener_.port);
  trusted.trusted = true;
  trusted.check.fall = 3;
  trusted.check.interval = seconds(100);
  checks_->set_targets({trusted});
  EXPECT_TRUE(run_until([&] { return !health().healthy; }));
}

TEST_F(HealthChecksTest, WithoutACheckABackendIsHealthy) {
  HealthTarget unchecked = target(listener_.port);
  unchecked.check.kind = HealthCheckKind::kNone;
  checks_->set_targets({unchecked});
  EXPECT_TRUE(health().healthy);
  EXPECT_TRUE(health().settled);
  EXPECT_FALSE(run_until([&] { return health().checks > 0; }, milliseconds(200)));
}

TEST_F(HealthChecksTest, TheStateSurvivesWhenTargetsAreSetAgain) {
  checks_->set_targets({target(listener_.port)});
  ASSERT_TRUE(run_until([&] { return health().healthy; }));
  const auto since = health().since;
  const uint64_t checked = health().checks;
  checks_->set_targets({target(listener_.port, "other"), target(listener_.port)});
  EXPECT_TRUE(health().healthy);
  EXPECT_EQ(health().since, since);
  EXPECT_EQ(health().checks, checked);
  EXPECT_FALSE(health("other").healthy);
  EXPECT_EQ(checks_->targets(), 2);
}

TEST_F(HealthChecksTest, ChangedSettingsKeepTheStateAndAreTriedSoon) {
  HealthTarget before = target(listener_.port);
  before.check.interval = seconds(100);
  checks_->set_targets({before});
  ASSERT_TRUE(run_until([&] { return health().healthy; }));

  listener_.close();
  HealthTarget after = before;
  after.check.path = "/health";
  checks_->set_targets({after});
  EXPECT_TRUE(health().healthy);
  ASSERT_TRUE(run_until([&] { return !health().healthy; }));

  after.check.kind = HealthCheckKind::kNone;
  checks_->set_targets({after});
  EXPECT_TRUE(health().healthy);
  EXPECT_EQ(health().last_error, "");
  EXPECT_EQ(health().next_check, system_clock::time_point{});
}

TEST_F(HealthChecksTest, WhatIsNoTargetAnyMoreIsForgottenAndNotChecked) {
  checks_->set_targets({target(listener_.port)});
  ASSERT_TRUE(run_until([&] { return health().healthy; }));
  checks_->set_targets({});
  EXPECT_EQ(checks_->find("web", kLoopback), nullptr);
  EXPECT_EQ(checks_->targets(), 0);
  (void)run_until([] { return false; }, milliseconds(50));  // connections that were on their way
  const uint32_t accepted = listener_.accepted;
  EXPECT_FALSE(run_until([&] { return listener_.accepted != accepted; }, milliseconds(300)));
  // Its place is taken by another one.
  checks_->set_targets({target(listener_.port, "other")});
  EXPECT_FALSE(health("other").healthy);
  EXPECT_EQ(health("other").checks, 0);
  EXPECT_TRUE(run_until([&] { return health("other").healthy; }));
}

TEST_F(HealthChecksTest, ChangesCloseTogetherAreOneCall) {
  std::vector<HealthTarget> targets;
  for (int i = 0; i < 50; ++i) {
    targets.push_back(target(listener_.port, std::to_string(i)));
    targets.back().check.interval = seconds(100);
  }
  checks_->set_targets(targets);
  ASSERT_TRUE(run_until([&] { return checks_->settled(); }));
  EXPECT_FALSE(run_until([&] { return changes_ > 4; }, milliseconds(300)));
  EXPECT_GE(changes_, 1);
}

TEST_F(HealthChecksTest, FirstChecksAreSpread) {
  const auto spread = [&](int count, milliseconds interval) {
    std::vector<HealthTarget> targets;
    for (int i = 0; i < count; ++i) {
      targets.push_back(target(listener_.port, std::to_string(i)));
      targets.back().check.interval = interval;
    }
    checks_->set_targets({});
    const auto before = system_clock::now();
    checks_->set_targets(targets);
    return health(std::to_string(count - 1)).next_check - before;
  };
  // A few are not kept waiting, many share the interval.
  EXPECT_LT(spread(2, seconds(2)), milliseconds(200));
  EXPECT_GT(spread(400, seconds(2)), milliseconds(350));
  EXPECT_GT(spread(400, milliseconds(200)), milliseconds(150));
  EXPECT_LT(spread(400, milliseconds(200)), milliseconds(350));
}

TEST_F(HealthChecksTest, ChangesThatGoOnDoNotPutOffTheCall) {
  std::vector<HealthTarget> targets;
  for (int i = 0; i < 2000; ++i) {
    targets.push_back(target(listener_.port, std::to_string(i)));
    targets.back().check.interval = seconds(100);
  }
  checks_->set_targets(targets);  // their first checks take two seconds
  ASSERT_TRUE(run_until([&] { return changes_ > 0; }));
  EXPECT_FALSE(checks_->settled());
}

TEST_F(HealthChecksTest, ChecksComeBackAfterAnIntervalMoreOrLess) {
  std::vector<HealthTarget> targets;
  for (int i = 0; i < 20; ++i) {
    targets.push_back(target(listener_.port, std::to_string(i)));
    targets.back().check.interval = milliseconds(1000);
  }
  checks_->set_targets(targets);
  for (const HealthTarget& each : targets) {
    // The second check may come early, so that first checks do not make a wave.
    ASSERT_TRUE(run_until([&] { return health(each.pool).checks >= 2; }));
    const auto pause = health(each.pool).next_check - health(each.pool).last_check;
    EXPECT_GT(pause, milliseconds(700));
    EXPECT_LE(pause, milliseconds(1100));
  }
}

// A server that says so, ends, comes back, and is stopped.
TEST_F(HealthChecksTest, ABackendThatLeavesIsToldApartFromOneThatIsDead) {
  tcp::acceptor server(io_, tcp::endpoint(tcp::v4(), 0));
  std::string answer = "200 OK";
  std::vector<tcp::socket> open;
  const std::function<void()> serve = [&] {
    server.async_accept([&](const boost::system::error_code& error, tcp::socket socket) {
      if (error) return;
      boost::system::error_code ignored;
      if (!answer.empty()) {
        const std::string text = "HTTP/1.1 " + answer + "\r\ncontent-length: 0\r\n\r\n";
        boost::asio::write(socket, boost::asio::buffer(text), ignored);
      }
      open.push_back(std::move(socket));
      serve();
    });
  };
  serve();
  HealthTarget asked = target(server.local_endpoint().port());
  asked.check.kind = HealthCheckKind::kHttp;
  asked.check.timeout = milliseconds(100);
  asked.check.fall = 3;
  asked.check.leaving_status = {{503, 503}};
  checks_->set_targets({asked});
  ASSERT_TRUE(run_until([&] { return health().healthy && changes_ == 1; }));

  answer = "503 Leaving";
  const auto checks_before = health().checks;
  ASSERT_TRUE(run_until([&] { return changes_ == 2; }));
  EXPECT_TRUE(health().leaving);
  EXPECT_FALSE(health().healthy);
  EXPECT_EQ(health().last_error, "HTTP status 503: it leaves");
  EXPECT_LE(health().checks, checks_before + 6) << "at the first one, put in place a moment later";

  const auto port = server.local_endpoint().port();
  server.close();
  ASSERT_TRUE(run_until([&] { return health().last_error == "connection refused"; }));
  const auto refused_before = health().checks;
  ASSERT_TRUE(run_until([&] { return health().checks > refused_before + 6; }));
  EXPECT_TRUE(health().leaving);
  EXPECT_EQ(changes_, 2u);

  server = tcp::acceptor(io_, tcp::endpoint(tcp::v4(), port));
  answer.clear();  // takes connections, and is silent
  serve();
  ASSERT_TRUE(run_until([&] { return changes_ == 3; }));
  EXPECT_FALSE(health().leaving);
  EXPECT_FALSE(health().healthy);
  EXPECT_THAT(health().last_error, HasSubstr("within 100 ms"));
  answer = "200 OK";
  ASSERT_TRUE(run_until([&] { return health().healthy; }));
}

/// Answers one HTTP request at a time in a thread of its own.
class HttpThread {
 public:
  HttpThread() : acceptor_(io_, tcp::endpoint(tcp::v4(), 0)), port(acceptor_.local_endpoint().port()) {
    thread_ = std::thread([this] {
      while (true) {
        tcp::socket socket(io_);
        boost::system::error_code error;
        acceptor_.accept(socket, error);
        if (error || ended_) return;
        accepted = true;
        std::array<char, 4096> request;
        socket.read_some(boost::asio::buffer(request), error);
        const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        boost::asio::write(socket, boost::asio::buffer(answer), error);
      }
    });
  }
  ~HttpThread() {
    ended_ = true;
    boost::asio::io_context io;
    tcp::socket wake(io);
    wake.connect(tcp::endpoint(boost::asio::ip::address_v4::loopback(), port));
    thread_.join();
  }
  std::atomic<bool> accepted = false;

 private:
  boost::asio::io_context io_;
  tcp::acceptor acceptor_;
  std::atomic<bool> ended_ = false;
  std::thread thread_;

 public:
  const uint16_t port;
};

TEST_F(HealthChecksTest, AStallOfThisThreadIsNotHeldAgainstBackends) {
  HttpThread server;
  HealthTarget http = target(server.port);
  http.check.kind = HealthCheckKind::kHttp;
  http.check.timeout = milliseconds(200);
  checks_->set_targets({http});
  const auto deadline = steady_clock::now() + seconds(20);
  while (!server.accepted && steady_clock::now() < deadline) io_.run_one_for(milliseconds(1));
  std::this_thread::sleep_for(milliseconds(400));
  ASSERT_TRUE(run_until([&] { return health().settled; }));
  EXPECT_TRUE(health().healthy) << health().last_error;
  EXPECT_EQ(health().failures, 0);
}

TEST_F(HealthChecksTest, WantOfFileDescriptorsIsNotHeldAgainstBackends) {
  HealthTarget trusted = target(listener_.port);
  trusted.trusted = true;
  checks_->set_targets({trusted});
  const int lowest_free = dup(0);
  ASSERT_GE(lowest_free, 0);
  close(lowest_free);
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit none{static_cast<rlim_t>(lowest_free), before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &none);
  const bool failed = run_until([&] { return !health().last_error.empty(); });
  setrlimit(RLIMIT_NOFILE, &before);
  ASSERT_TRUE(failed);
  EXPECT_THAT(health().last_error, HasSubstr("check not run: Too many open files"));
  EXPECT_TRUE(health().healthy);
  EXPECT_EQ(health().checks, 0);
  ASSERT_TRUE(run_until([&] { return health().checks > 0; }));
  EXPECT_EQ(health().last_error, "");
}

TEST_F(HealthChecksTest, ABackendThatFlapsIsHeld) {
  HealthTarget flapping = target(listener_.port);
  flapping.trusted = true;
  flapping.check.passive = true;
  flapping.policy.flap_limit = 1;
  flapping.policy.flap_hold = seconds(1);
  checks_->set_targets({flapping});
  checks_->report_passive_failure("web", kLoopback, "SYN retransmissions", seconds(0));
  ASSERT_FALSE(health().healthy);
  EXPECT_EQ(health().last_error, "SYN retransmissions");
  const auto fallen = steady_clock::now();
  ASSERT_TRUE(run_until([&] { return health().held; }));
  EXPECT_FALSE(health().healthy);
  ASSERT_TRUE(run_until([&] { return health().healthy; }));
  EXPECT_FALSE(health().held);
  EXPECT_GE(steady_clock::now() - fallen, milliseconds(990));
}

TEST_F(HealthChecksTest, PassiveSignalsCountOnlyWhereTheyAreAskedFor) {
  HealthTarget trusted = target(listener_.port);
  trusted.trusted = true;
  checks_->set_targets({trusted});
  checks_->report_passive_failure("web", kLoopback, "SYN retransmissions", seconds(1));
  checks_->report_passive_failure("none", kLoopback, "SYN retransmissions", seconds(1));
  EXPECT_TRUE(health().healthy);
  EXPECT_EQ(health().checks, 0);
}

TEST_F(HealthChecksTest, WhatTrafficShowsOutweighsGoodChecksForAWhile) {
  HealthTarget watched = target(listener_.port);
  watched.trusted = true;
  watched.check.passive = true;
  checks_->set_targets({watched});
  ASSERT_TRUE(run_until([&] { return health().checks > 0; }));
  const auto reported = steady_clock::now();
  checks_->report_passive_failure("web", kLoopback, "SYN retransmissions", milliseconds(800));
  EXPECT_FALSE(health().healthy);
  const auto checks_before = health().checks;
  ASSERT_TRUE(run_until([&] { return health().held && health().checks >= checks_before + 3; }));
  EXPECT_FALSE(health().healthy);
  EXPECT_EQ(health().last_error, "SYN retransmissions") << "why it is down, though its checks are good";
  ASSERT_TRUE(run_until([&] { return changes_ > 0; }));
  ASSERT_TRUE(run_until([&] { return health().healthy; }));
  EXPECT_GE(steady_clock::now() - reported, milliseconds(800));
  EXPECT_EQ(health().last_error, "");
}

TEST_F(HealthChecksTest, RunningChecksEndWithTheEngine) {
  HealthTarget slow = target(listener_.port);
  slow.check.kind = HealthCheckKind::kHttp;  // which never gets an answer
  slow.check.timeout = seconds(100);
  checks_->set_targets({slow});
  ASSERT_TRUE(run_until([&] { return listener_.accepted > 0; }));
  checks_.reset();
  listener_.close();
  // Nothing is left to wait for but cancelled handlers.
  io_.restart();
  io_.run_for(seconds(10));
  EXPECT_TRUE(io_.stopped());
  EXPECT_EQ(changes_, 0);
}

size_t children() {
  size_t count = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream file(task.path() / "children");
    for (std::string pid; file >> pid;) ++count;
  }
  return count;
}

TEST_F(HealthChecksTest, ProgramsAreNotStartedAllAtOnce) {
  std::vector<HealthTarget> targets;
  for (int i = 0; i < 40; ++i) {
    targets.push_back(target(0, std::to_string(i)));
    targets.back().check.kind = HealthCheckKind::kExternal;
    targets.back().check.command = {"/bin/sleep", "0.5"};
    targets.back().check.interval = seconds(100);
    targets.back().check.timeout = seconds(20);
  }
  checks_->set_targets(targets);
  size_t most = 0;
  ASSERT_TRUE(run_until([&] {
    most = std::max(most, children());
    return checks_->settled();
  }));
  EXPECT_GE(most, 20);
  EXPECT_LE(most, 32);
  EXPECT_TRUE(health("39").healthy) << health("39").last_error;
}

}  // namespace
}  // namespace sluice::control
