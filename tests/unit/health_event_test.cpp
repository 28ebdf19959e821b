#include "control/proxy/health_event.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "control/proxy/event_file.h"
#include "control/proxy/health_event_log.h"
#include "tests/unit/file_text.h"
#include "tests/unit/test_folder.h"

namespace sluice::control {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const std::chrono::system_clock::time_point kNow{std::chrono::milliseconds(1'790'000'000'123)};

HealthTarget target() {
  HealthTarget made;
  made.pool = "app/192.0.2.1:80";
  made.backend = "192.0.2.1:80";
  made.port = 8081;
  made.check.kind = HealthCheckKind::kHttp;
  return made;
}

std::string line_of(const CheckResult& result, bool healthy, bool changed, bool first, bool every = false) {
  const HealthTarget of = target();
  BackendHealth health;
  health.healthy = healthy;
  return health_event_line({of, health, result, changed, first}, "app", every, kNow);
}

/// The event of a line; "" for none.
std::string event_of(const std::string& line) {
  return line.empty() ? "" : json::parse(line).at("event").get<std::string>();
}

TEST(HealthEvent, AFallSaysWhatFailedAndHow) {
  const std::string line =
      line_of(CheckResult::bad("connection refused", CheckResult::Failure::kNetwork), false, true, false);
  EXPECT_EQ(
      line,
      R"({"time":"2026-09-21T14:13:20.123Z","cluster":"app","endpoint":"192.0.2.1:80","checker":"http",)"
      R"("event":"unhealthy","health_port":8081,"first_check":false,"failure":"network",)"
      R"("error":"connection refused"})");
}

TEST(HealthEvent, WhatIsSaidDependsOnWhatChanged) {
  const CheckResult good = CheckResult::good();
  const CheckResult bad = CheckResult::bad("HTTP status 503, expected 200-299");
  EXPECT_EQ(event_of(line_of(good, true, true, false)), "healthy");
  // Endpoints are taken for healthy until their first check: that it was right is no change, but news.
  EXPECT_EQ(event_of(line_of(good, true, false, true)), "healthy");
  EXPECT_EQ(event_of(line_of(good, true, false, false)), "");
  EXPECT_EQ(event_of(line_of(good, true, false, false, true)), "");
  EXPECT_EQ(event_of(line_of(bad, false, true, true)), "unhealthy");
  EXPECT_EQ(event_of(line_of(bad, true, false, true)), "check_failed");
  EXPECT_EQ(event_of(line_of(bad, true, false, false)), "");
  EXPECT_EQ(event_of(line_of(bad, true, false, false, true)), "check_failed");
  EXPECT_EQ(event_of(line_of(bad, false, false, false, true)), "check_failed");
}

TEST(HealthEvent, WhatAServerSaysStaysInItsField) {
  const auto line = line_of(CheckResult::bad("say \"\\\n\xff"), false, true, false);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_THAT(json::parse(line).at("error").get<std::string>(), HasSubstr("say \"\\\n"));
}

TEST(HealthEvent, AnEjectionSaysWhyAndForHowLong) {
  OutlierEvent event;
  event.id = {IpAddress::v4(192, 0, 2, 1), 80};
  event.ejection = {OutlierReason::kSuccessRate, {}, PickTime(std::chrono::seconds(30)), 42.19, 87.5};
  EXPECT_EQ(
      outlier_event_line(event, "app", kNow),
      R"({"time":"2026-09-21T14:13:20.123Z","cluster":"app","endpoint":"192.0.2.1:80","checker":"outlier",)"
      R"("event":"ejected","reason":"success-rate","observed":42.2,"limit":87.5,"for_ms":30000})");
  event.change = OutlierChange::kReadmitted;
  const auto line = json::parse(outlier_event_line(event, "app", kNow));
  EXPECT_EQ(line.at("event"), "readmitted");
  EXPECT_FALSE(line.contains("for_ms"));
}

TEST(HealthEvent, TheDocumentHasEveryKeyEventAndName) {
  const std::string page = test::text_of(SLUICE_SOURCE_DIR "/docs/proxy-health-events.md");
  OutlierEvent event;
  event.ejection.until += std::chrono::seconds(1);
  for (const auto& line :
       {line_of(CheckResult::bad("x"), false, true, false), outlier_event_line(event, "a", kNow)}) {
    const json parsed = json::parse(line);
    for (const auto& [key, value] : parsed.items()) EXPECT_THAT(page, HasSubstr("| `" + key + "` |"));
  }
  for (const char* name : {"healthy", "unhealthy", "check_failed"})
    EXPECT_THAT(page, HasSubstr(std::string("| `") + name + "` |"));
  for (const auto change : {OutlierChange::kEjected, OutlierChange::kReadmitted, OutlierChange::kSpared})
    EXPECT_THAT(page, HasSubstr("| `" + std::string(outlier_change_name(change)) + "` |"));
  using Failure = CheckResult::Failure;
  for (const auto failure : {Failure::kAnswer, Failure::kNetwork, Failure::kTimeout})
    EXPECT_THAT(page, HasSubstr("`" + std::string(check_failure_name(failure)) + "` ("));
  for (auto reason = OutlierReason::kServerErrors; reason <= OutlierReason::kFailurePercentage;
       reason = static_cast<OutlierReason>(static_cast<int>(reason) + 1))
    EXPECT_THAT(page, HasSubstr("`" + std::string(outlier_reason_name(reason)) + "`"));
  for (auto kind = HealthCheckKind::kTcp; kind <= HealthCheckKind::kExternal;
       kind = static_cast<HealthCheckKind>(static_cast<int>(kind) + 1))
    EXPECT_THAT(page, HasSubstr("`" + std::string(health_check_kind_name(kind)) + "`"));
}

class EventFileTest : public testing::Test {
 protected:
  EventFileTest() { spdlog::set_level(spdlog::level::off); }
  std::string path() const { return folder_.path("events"); }
  std::string content() const { return test::text_of(path()); }
  test::TestFolder folder_;
};

TEST_F(EventFileTest, LinesAreAppendedToWhatIsThere) {
  std::ofstream(path()) << "old\n";
  auto file = EventFile::open(path());
  ASSERT_TRUE(file) << file.error().message;
  (*file)->write("new");
  EXPECT_EQ(content(), "old\nnew\n");
}

TEST_F(EventFileTest, WhatCannotBeOpenedIsNamedWithItsReason) {
  const auto missing = EventFile::open(folder_.path("no/events"));
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message,
              HasSubstr("/no/events: cannot be opened: No such file or directory; accepted"));
  const auto folder = EventFile::open(folder_.path());
  ASSERT_FALSE(folder);
  EXPECT_THAT(folder.error().message, HasSubstr("Is a directory"));
  ASSERT_EQ(mkfifo(path().c_str(), 0600), 0);
  const auto fifo = EventFile::open(path());
  ASSERT_FALSE(fifo);
  EXPECT_THAT(fifo.error().message, HasSubstr("nobody reads this FIFO"));
}

TEST_F(EventFileTest, AFullDiskCostsLinesAndLeavesThoseBehindItWhole) {
  auto file = EventFile::open(path());
  ASSERT_TRUE(file) << file.error().message;
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  rlimit small = before;
  small.rlim_cur = 10;
  setrlimit(RLIMIT_FSIZE, &small);
  (*file)->write("first");   // 6 bytes
  (*file)->write("second");  // 4 of 7 get in
  (*file)->write("third");   // nothing does
  setrlimit(RLIMIT_FSIZE, &before);
  (*file)->write("fourth");
  EXPECT_EQ(content(), "first\nseco\nfourth\n");
}

TEST_F(EventFileTest, ClustersShareAFileAndAnErrorNamesTheCluster) {
  ProxyConfig config;
  config.settings.clusters.resize(2);
  config.settings.clusters[0].name = "a";
  config.settings.clusters[1].name = "b";
  config.care.resize(2);
  config.care[0].event_log = path();
  config.care[1].outlier_event_log = path();
  auto log = HealthEventLog::open(config);
  ASSERT_TRUE(log) << log.error().message;
  const HealthTarget of = target();
  const CheckResult bad = CheckResult::bad("x");
  const CheckedEvent checked{of, {}, bad, true, false};
  log->checked("a", checked);
  log->checked("b", checked);  // its checks have no file
  log->outlier("b", {});
  log->outlier("a", {});  // its ejections have none
  log->checked("gone", checked);
  std::istringstream lines(content());
  std::vector<std::string> found;
  for (std::string line; std::getline(lines, line);)
    found.push_back(json::parse(line).at("cluster").get<std::string>() + " " + event_of(line));
  EXPECT_THAT(found, testing::ElementsAre("a unhealthy", "b ejected"));
  config.care[1].event_log = folder_.path("no/events");
  const auto refused = HealthEventLog::open(config);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("cluster b: event log "));
}

}  // namespace
}  // namespace sluice::control
