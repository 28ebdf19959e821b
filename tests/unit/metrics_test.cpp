#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "control/metrics/exposition.h"
#include "control/metrics/node_metric_list.h"
#include "control/metrics/node_snapshot.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr Metric kSeen{"seen_total", MetricKind::kCounter, "name", "How many\nwere seen \\ \"here\"."};
constexpr Metric kTook{"took_seconds", MetricKind::kHistogram, "", "How long."};

TEST(Exposition, EscapesHelpAndLabelValuesAsTheFormatWantsEach) {
  Exposition out;
  out.begin(kSeen);
  out.sample(label_set({{"name", "a\"b\\c\nd"}, {"other", ""}}), uint64_t{3});
  EXPECT_EQ(out.take(),
            "# HELP seen_total How many\\nwere seen \\\\ \"here\".\n"
            "# TYPE seen_total counter\n"
            "seen_total{name=\"a\\\"b\\\\c\\nd\",other=\"\"} 3\n");
}

TEST(Exposition, WritesWholeCountsAndAnyNumber) {
  Exposition out;
  out.begin(kSeen);
  out.sample("", std::numeric_limits<uint64_t>::max());
  for (const double value : {0.0, 0.25, -1.5e-9, double{NAN}, double{INFINITY}, -double{INFINITY}}) {
    out.sample("", value);
  }
  EXPECT_THAT(out.take(), testing::EndsWith("seen_total 18446744073709551615\nseen_total 0\nseen_total 0.25\n"
                                            "seen_total -1.5e-09\nseen_total NaN\nseen_total +Inf\n"
                                            "seen_total -Inf\n"));
}

TEST(Exposition, HistogramBucketsAreCumulativeAndEndWithInfinity) {
  Histogram<2> took({0.1, 1});
  for (const double value : {0.05, 0.1, 0.5, 7.0}) took.observe(value);
  Exposition out;
  out.begin(kTook);
  out.histogram("", took.bounds(), took.counts(), took.sum());
  out.histogram("k=\"v\"", took.bounds(), took.counts(), 0);
  EXPECT_THAT(out.take(), HasSubstr("took_seconds_bucket{le=\"0.1\"} 2\n"
                                    "took_seconds_bucket{le=\"1\"} 3\n"
                                    "took_seconds_bucket{le=\"+Inf\"} 4\n"
                                    "took_seconds_sum 7.65\n"
                                    "took_seconds_count 4\n"
                                    "took_seconds_bucket{k=\"v\",le=\"0.1\"} 2\n"));
}

/// One of everything, a backend that is checked and one that is not.
NodeSnapshot sample() {
  NodeSnapshot node;
  node.node = "lb1";
  node.version = "1";
  node.ports = {{.name = "wan", .link = "up", .rx_packets = 7}};
  node.workers = {{.index = 0, .flows = 5, .evictions = 2}};
  node.drops.emplace_back();
  node.drops[0][static_cast<size_t>(DropReason::kTxFull)] = 9;
  auto labels = std::make_shared<ServiceLabels>();
  labels->vips = {"vip=\"v\""};
  labels->vip_infos = {"vip=\"v\",pool=\"p\""};
  labels->pools = {"pool=\"p\""};
  labels->backends = {"backend=\"a\"", "backend=\"b\""};
  labels->backend_infos = {"backend=\"a\",x=\"1\"", "backend=\"b\",x=\"2\""};
  node.labels = labels;
  node.vips = {{10, 20}};
  node.pools = {{PoolMode::kTooFew, 2, 1, 2}};
  node.backends = {{.packets = 1, .checked = true, .healthy = true, .check_latency = 0.5}, {.packets = 2}};
  node.announcements = {{"192.0.2.1/32", true}};
  return node;
}

std::vector<std::string> lines_with(const std::string& text, std::string_view start) {
  std::vector<std::string> found;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(start)) found.push_back(line);
  }
  return found;
}

TEST(NodeMetrics, EachOfTheListIsWrittenOnceAndInItsOrder) {
  const std::string text = render_metrics(sample(), {}, {});
  std::vector<std::string> expected;
  for (const Metric& metric : node_metrics()) {
    expected.push_back("# HELP " + std::string(metric.name) + " " + std::string(metric.help));
    EXPECT_FALSE(lines_with(text, std::string(metric.name)).empty()) << metric.name;
  }
  EXPECT_EQ(lines_with(text, "# HELP "), expected);
}

TEST(NodeMetrics, NumbersStandBesideTheirLabels) {
  LogNumbers log;
  log.lines = {1, 2, 3, 4};
  log.suppressed = 5;
  const std::string text = render_metrics(sample(), log, {1.5, 2, 3, 4, 5});
  for (const char* line :
       {"sluice_port_up{port=\"wan\"} 1", "sluice_port_received_packets_total{port=\"wan\"} 7",
        "sluice_flows{worker=\"0\"} 5", "sluice_flows_evicted_total{worker=\"0\"} 2",
        "sluice_dropped_packets_total{worker=\"0\",reason=\"tx_full\"} 9",
        "sluice_vip_packets_total{vip=\"v\"} 10", "sluice_vip_bytes_total{vip=\"v\"} 20",
        "sluice_pool_mode{pool=\"p\"} 3", "sluice_pool_wanted_backends{pool=\"p\"} 2",
        "sluice_pool_healthy_backends{pool=\"p\"} 1", "sluice_announced{address=\"192.0.2.1/32\"} 1",
        "sluice_backend_packets_total{backend=\"b\"} 2", "sluice_log_lines_total{level=\"error\"} 4",
        "sluice_log_suppressed_lines_total 5", "process_cpu_seconds_total 1.5"}) {
    EXPECT_EQ(lines_with(text, line), std::vector<std::string>{line});
  }
}

TEST(NodeMetrics, ABackendThatIsNotCheckedHasNoHealth) {
  const std::string text = render_metrics(sample(), {}, {});
  EXPECT_THAT(lines_with(text, "sluice_backend_healthy{"),
              ElementsAre("sluice_backend_healthy{backend=\"a\"} 1"));
  EXPECT_THAT(lines_with(text, "sluice_backend_check_latency_seconds{"),
              ElementsAre("sluice_backend_check_latency_seconds{backend=\"a\"} 0.5"));
}

TEST(NodeMetrics, NamesFollowTheConventions) {
  for (const Metric& metric : node_metrics()) {
    const bool counter = metric.kind == MetricKind::kCounter;
    EXPECT_EQ(metric.name.ends_with("_total"), counter) << metric.name;
    EXPECT_TRUE(metric.help.ends_with('.')) << metric.name;
    EXPECT_EQ(metric.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), std::string_view::npos)
        << metric.name;
  }
}

TEST(NodeMetrics, ThePageListsThemWordForWordAndNoOthers) {
  std::vector<std::string> rows;
  std::ifstream page(SLUICE_SOURCE_DIR "/docs/metrics.md");
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("| `")) rows.push_back(line);
  }
  std::vector<std::string> expected;
  for (const Metric& metric : node_metrics()) {
    expected.push_back("| `" + std::string(metric.name) + "` | " +
                       std::string(metric_kind_name(metric.kind)) + " | " + std::string(metric.labels) +
                       " | " + std::string(metric.help) + " |");
  }
  EXPECT_EQ(rows, expected);
}

TEST(ProcessNumbers, AreThoseOfThisProcess) {
  const ProcessNumbers numbers = process_numbers();
  EXPECT_GT(numbers.resident_bytes, 1u << 20);
  EXPECT_GE(numbers.open_files, 3u);
  EXPECT_LT(numbers.open_files, numbers.max_files);
  const auto now = static_cast<double>(time(nullptr));
  EXPECT_NEAR(numbers.start_time, now, 600);
  EXPECT_LE(numbers.start_time, now + 1);
}

}  // namespace
}  // namespace sluice
