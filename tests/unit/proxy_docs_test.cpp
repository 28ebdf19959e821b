// The documents of sluice-proxy against the code: what one lists, the other has.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "control/proxy/discoveries.h"
#include "control/proxy/endpoint_file.h"
#include "control/proxy/proxy_config.h"
#include "control/proxy/proxy_fields.h"
#include "control/proxy/proxy_metrics.h"
#include "dataplane/l7/defence.h"
#include "dataplane/l7/outcome.h"
#include "tests/unit/documentation.h"

namespace sluice {
namespace {

using test::documented_rows;
using test::kDocs;

TEST(ProxyConfigDocs, ListEveryFieldAsTheCodeHasItAndNoOther) {
  auto rows = documented_rows("proxy-configuration.md");
  for (const ConfigField& field : proxy_config_table().fields()) {
    const std::string expected = fmt::format("| `{}` | {} | {} | {} |", field.path, field.accepted_text(),
                                             field.otherwise, field.help);
    EXPECT_EQ(rows[std::string(field.path)], expected);
    rows.erase(std::string(field.path));
  }
  for (const auto& [path, row] : rows) ADD_FAILURE() << "no such field in the code: " << row;
}

TEST(ProxyConfigDocs, TheExampleIsGood) {
  const auto config = load_proxy_config(kDocs + "examples/proxy.yaml");
  EXPECT_TRUE(config) << config.error().message;
}

TEST(ProxyDocs, ListEveryMetricAsTheCodeHasItAndNoOther) {
  auto rows = documented_rows("proxy-metrics.md");
  for (const Metric& metric : proxy_metrics()) {
    EXPECT_EQ(rows[std::string(metric.name)],
              fmt::format("| `{}` | {} | {} | {} |", metric.name, metric_kind_name(metric.kind),
                          metric.labels, metric.help));
    rows.erase(std::string(metric.name));
  }
  EXPECT_TRUE(rows.empty()) << rows.begin()->second;
}

TEST(DiscoveryDocs, ListEveryEventAndEveryFieldOfAFileAsTheCodeHasThemAndNoOther) {
  auto rows = documented_rows("discovery.md");
  for (const control::DiscoveryEvent& event : control::discovery_events()) {
    EXPECT_EQ(rows[std::string(event.name)], fmt::format("| `{}` | {} |", event.name, event.help));
    rows.erase(std::string(event.name));
  }
  for (const ConfigField& field : endpoint_file_table().fields()) {
    EXPECT_EQ(rows[std::string(field.path)], fmt::format("| `{}` | {} | {} | {} |", field.path,
                                                         field.accepted_text(), field.otherwise, field.help));
    rows.erase(std::string(field.path));
  }
  EXPECT_TRUE(rows.empty()) << rows.begin()->second;
}

TEST(ProxyDocs, ListEveryOutcomeAsTheCodeHasItAndNoOther) {
  auto rows = documented_rows("l7-outcomes.md");
  for (const l7::OutcomeText& outcome : l7::kOutcomeTexts) {
    const auto code = [&](unsigned number) {
      return outcome.status == 0 ? std::string("-") : std::to_string(number);
    };
    EXPECT_EQ(rows[std::string(outcome.name)],
              fmt::format("| `{}` | {} | {} | {} |", outcome.name, outcome.help, code(outcome.status),
                          code(outcome.grpc_status)));
    rows.erase(std::string(outcome.name));
  }
  EXPECT_TRUE(rows.empty()) << rows.begin()->second;
}

TEST(ProxyDocs, ListEveryDefenceAsTheCodeHasItAndNoOther) {
  auto rows = documented_rows("l7-defences.md");
  for (size_t i = 1; i < l7::kDefences; ++i) {
    const l7::DefenceText& defence = l7::kDefenceTexts[i];
    constexpr std::array<std::string_view, 3> kSides{"clients", "endpoints", "both"};
    // A limit is a field, with its default, or words.
    std::string limit = fmt::format("{} | -", defence.limit);
    for (const ConfigField& field : proxy_config_table().fields()) {
      if (field.path == defence.limit) limit = fmt::format("`{}` | {}", field.path, field.otherwise);
    }
    EXPECT_EQ(rows[std::string(defence.name)],
              fmt::format("| `{}` | {} | {} | {} | {} |", defence.name,
                          kSides[static_cast<size_t>(defence.side)], defence.what, defence.then, limit));
    rows.erase(std::string(defence.name));
  }
  EXPECT_TRUE(rows.empty()) << rows.begin()->second;
}

/// The events that the sources of control/proxy write.
std::set<std::string> events_in_code() {
  std::set<std::string> events;
  for (const auto& file : std::filesystem::directory_iterator(SLUICE_SOURCE_DIR "/control/proxy")) {
    std::ifstream source(file.path());
    const std::string text{std::istreambuf_iterator<char>(source), {}};
    constexpr std::string_view kEvent = "\"event=";
    for (size_t at = text.find(kEvent); at != std::string::npos; at = text.find(kEvent, at)) {
      at += kEvent.size();
      const size_t end = text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_", at);
      if (end > at) events.insert(text.substr(at, end - at));
    }
  }
  return events;
}

TEST(ProxyDocs, ListEveryLogEventOfTheCodeAndNoOther) {
  std::set<std::string> listed;
  std::ifstream page(kDocs + "logs.md");
  std::string line;
  while (std::getline(page, line) && line != "## What sluice-proxy says") {
  }
  for (; std::getline(page, line) && !line.starts_with("## ");) {
    if (line.starts_with("| `")) listed.insert(line.substr(3, line.find('`', 3) - 3));
  }
  EXPECT_EQ(listed, events_in_code());
}

}  // namespace
}  // namespace sluice
