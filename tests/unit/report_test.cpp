#include "control/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iterator>
#include <sstream>

#include "control/table.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::Not;

Report example() {
  Report report;
  report.node = "lb1";
  report.version = "0.1.0";
  report.pid = 42;
  report.started = 1000;
  report.taken_ns = 5'000'000'000;
  report.generation = 7;
  report.config_path = "/etc/sluice/sluice.yaml";
  report.isa = "avx512";
  PortReport port;
  port.name = "wan";
  port.kind = "af_xdp";
  port.device = "eth1";
  port.link = "up";
  port.queues = 2;
  port.rx_packets = 1000;
  port.tx_packets = 900;
  port.rx_missed = 3;
  report.ports = {port};
  WorkerReport worker;
  worker.core = 3;
  worker.idle = "adaptive";
  worker.rx_packets = 1000;
  worker.flows = 12;
  worker.flow_capacity = 4096;
  report.workers = {worker};
  report.vips = {{"web", "203.0.113.10", "tcp", "80", "web", 2, 900, 90'000}};
  report.backends = {
      {"web", "b1", "10.0.1.11", "active", 100, 0.5, true, "wan via 02:00:00:00:00:01", 450, 45'000},
      {"web", "b2", "10.0.1.12", "active", 100, 0.5, false, "no route to 10.0.1.12", 450, 45'000}};
  report.drops = {{"truncated", "the frame ends before its headers", 0},
                  {"tx_full", "the transmit queue was full", 5}};
  return report;
}

/// `example()` two seconds later, with 200 packets more everywhere.
Report two_seconds_later() {
  Report report = example();
  report.taken_ns += 2'000'000'000;
  report.ports[0].rx_packets += 200;
  report.vips[0].packets += 200;
  report.backends[0].packets += 200;
  report.drops[1].packets += 200;
  return report;
}

/// The words of the line of `text` that begins with `start`.
std::vector<std::string> words_of_line(const std::string& text, const std::string& start) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(start)) continue;
    std::istringstream words(line);
    return {std::istream_iterator<std::string>(words), {}};
  }
  return {};
}

TEST(ReportJson, ComesBackAsItWent) {
  const Report report = two_seconds_later();
  const std::string json = to_json(report);
  EXPECT_EQ(json.find('\n'), std::string::npos);
  const auto back = report_from_json(json);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(to_json(*back), json);
  EXPECT_EQ(back->backends[1].next_hop, "no route to 10.0.1.12");
  EXPECT_FALSE(back->backends[1].resolved);
  EXPECT_EQ(back->workers[0].core, 3);
  EXPECT_EQ(back->drops[1].packets, 205u);
}

TEST(ReportJson, UnknownAndMissingFieldsAreNoErrors) {
  const auto report = report_from_json(R"({"node": "x", "of_tomorrow": [1], "ports": [{"name": "wan"}]})");
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->node, "x");
  ASSERT_EQ(report->ports.size(), 1u);
  EXPECT_EQ(report->ports[0].rx_packets, 0u);
}

TEST(ReportJson, OtherTextsAreErrors) {
  for (const char* text : {"", "{", "[]", "7", R"({"node": 7})", R"({"ports": {"a": 1}})"}) {
    const auto report = report_from_json(text);
    ASSERT_FALSE(report) << text;
    EXPECT_THAT(report.error().message, HasSubstr("not a report"));
  }
}

TEST(ReportJson, BrokenUtf8IsReplaced) {
  Report report;
  report.ports.resize(1);
  report.ports[0].device = "net_\xff";
  EXPECT_TRUE(report_from_json(to_json(report)));
}

TEST(RenderStatus, TellsStatesAndWhyABackendHasNoNextHop) {
  const std::string text = render_status(example(), 1000 + 3 * 3600 + 12 * 60);
  EXPECT_THAT(text,
              testing::StartsWith("lb1: sluiced 0.1.0, pid 42, up 3h 12m, forwarding table 7, avx512 code\n"
                                  "configuration /etc/sluice/sluice.yaml\n\n"));
  EXPECT_THAT(words_of_line(text, "wan"), testing::ElementsAre("wan", "af_xdp", "eth1", "up", "2"));
  EXPECT_THAT(text, HasSubstr("50.0%  wan via 02:00:00:00:00:01\n"));
  EXPECT_THAT(text, HasSubstr("50.0%  none: no route to 10.0.1.12\n"));
  EXPECT_THAT(words_of_line(text, "0 "), testing::ElementsAre("0", "3", "adaptive", "12", "4096"));
  EXPECT_THAT(text, Not(HasSubstr("reload")));
}

TEST(RenderStatus, ShowsTheErrorOfTheLastReload) {
  Report report = example();
  report.config_error = "lb.yaml:3:1: found unknown field 'vip'";
  EXPECT_THAT(render_status(report, 1000), HasSubstr("the last reload changed nothing:\nlb.yaml:3:1: found"));
}

TEST(RenderStatus, FloatingWorkersAndEmptyNodes) {
  Report report;
  report.workers.resize(1);
  EXPECT_THAT(words_of_line(render_status(report, 0), "0 "), testing::ElementsAre("0", "any", "-", "0", "0"));
  report.workers.clear();
  EXPECT_THAT(render_status(report, 0), Not(HasSubstr("WORKER")));
}

TEST(RenderStats, ShowsTotalsAndOnlyDropsThatOccurred) {
  const std::string text = render_stats(example());
  EXPECT_THAT(words_of_line(text, "wan"), testing::ElementsAre("wan", "1000", "900", "3", "0", "0", "0"));
  EXPECT_THAT(words_of_line(text, "web  203"),
              testing::ElementsAre("web", "203.0.113.10", "tcp", "80", "900", "90000"));
  EXPECT_THAT(text, HasSubstr("tx_full"));
  EXPECT_THAT(text, Not(HasSubstr("truncated")));
  EXPECT_THAT(text, Not(HasSubstr("/S")));
}

TEST(RenderStats, ShowsRatesPerSecondOfTheNodesOwnClock) {
  const Report earlier = example();
  const std::string text = render_stats(two_seconds_later(), &earlier);
  EXPECT_THAT(words_of_line(text, "wan"),
              testing::ElementsAre("wan", "1200", "100", "900", "0", "3", "0", "0", "0", "0"));
  EXPECT_THAT(words_of_line(text, "web   b1"),
              testing::ElementsAre("web", "b1", "10.0.1.11", "650", "100", "45000", "0"));
  EXPECT_THAT(words_of_line(text, "tx_full"), testing::Contains("205"));
  EXPECT_THAT(text, HasSubstr("PACKETS/S"));
}

TEST(RenderStats, ShowsNoRatesAcrossARestart) {
  Report earlier = example();
  earlier.pid = 41;
  EXPECT_THAT(render_stats(two_seconds_later(), &earlier), Not(HasSubstr("/S")));
}

TEST(RenderStats, ANewBackendHasNoRateYet) {
  Report earlier = example();
  earlier.backends.erase(earlier.backends.begin());
  const std::string text = render_stats(two_seconds_later(), &earlier);
  EXPECT_THAT(words_of_line(text, "web   b1"),
              testing::ElementsAre("web", "b1", "10.0.1.11", "650", "-", "45000", "-"));
  EXPECT_THAT(words_of_line(text, "web   b2"),
              testing::ElementsAre("web", "b2", "10.0.1.12", "450", "0", "45000", "0"));
}

TEST(RenderHealth, ShowsWhereEachCheckGoesAndWhyOneIsDown) {
  Report report = example();
  report.backends[0].health = "unhealthy";
  report.backends[0].checked_at = "tunnel, 203.0.113.10";
  report.backends[0].health_error = "no connection within 200 ms";
  report.backends[0].health_since = 990;
  const std::string text = render_health(report, 1000);
  EXPECT_THAT(text, HasSubstr("b1       10.0.1.11  tunnel, 203.0.113.10  unhealthy"));
  EXPECT_THAT(text, HasSubstr("no connection within 200 ms\n"));
  EXPECT_THAT(words_of_line(text, "web   b2"), testing::Contains("checked"));
}

TEST(RenderAnnouncements, TellsLeavingFromAnnouncedAndNot) {
  Report report;
  report.announcements = {{"192.0.2.1", true, "", {"a"}, false},
                          {"192.0.2.2", true, "the node drains", {"b"}, true},
                          {"192.0.2.3", false, "announce is false", {"c"}, false}};
  const std::string text = render_announcements(report);
  EXPECT_THAT(words_of_line(text, "192.0.2.1"), testing::ElementsAre("192.0.2.1", "yes", "a", "-"));
  EXPECT_THAT(text, HasSubstr("192.0.2.2  leaving    b     the node drains\n"));
  EXPECT_THAT(text, HasSubstr("192.0.2.3  no         c     announce is false\n"));
}

TEST(Table, AlignsColumnsWithoutTrailingSpaces) {
  Table table({{"NAME"}, {"COUNT", Table::Align::kRight}, {"NOTE"}});
  EXPECT_EQ(table.render(), "");
  table.add({"a", "7", "x"});
  table.add({"longer", "123456", ""});
  EXPECT_EQ(table.render(),
            "NAME     COUNT  NOTE\n"
            "a            7  x\n"
            "longer  123456  -\n");
}

TEST(Table, ShowsControlCharactersHarmlesslyAndCountsLettersNotBytes) {
  Table table({{"A"}, {"B"}});
  table.add({"\033[31mx\n", "1"});
  table.add({"grün", "2"});
  EXPECT_EQ(table.render(), "A        B\n?[31mx?  1\ngrün     2\n");
}

}  // namespace
}  // namespace sluice
