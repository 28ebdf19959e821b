#include "lb/drop_reason.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace sluice {
namespace {

/// Rows of the table in docs/drop-reasons.md: | `name` | meaning | what to do |
struct Row {
  std::string name;
  std::string meaning;
  std::string advice;
};

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(' ');
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

std::vector<Row> documented() {
  std::ifstream file(SLUICE_SOURCE_DIR "/docs/drop-reasons.md");
  EXPECT_TRUE(file) << "docs/drop-reasons.md cannot be read";
  std::vector<Row> rows;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("| `")) continue;
    std::istringstream cells(line.substr(1));
    Row row;
    std::getline(cells, row.name, '|');
    std::getline(cells, row.meaning, '|');
    std::getline(cells, row.advice, '|');
    const std::string quoted = trimmed(row.name);
    rows.push_back({quoted.substr(1, quoted.size() - 2), trimmed(row.meaning), trimmed(row.advice)});
  }
  return rows;
}

TEST(DropReasons, AreDocumentedInTheirOrderWithTheirMeaning) {
  const std::vector<Row> rows = documented();
  for (size_t i = 0; i < std::max(rows.size(), kDropReasons); ++i) {
    const std::string name(i < kDropReasons ? kDropReasonTexts[i].name : "(no reason)");
    ASSERT_EQ(i < rows.size() ? rows[i].name : "(no row)", name);
    EXPECT_EQ(rows[i].meaning, kDropReasonTexts[i].help) << name;
    EXPECT_GT(rows[i].advice.size(), 10u) << name << ": what should the operator do?";
  }
}

TEST(DropReasons, HaveNamesOfTheirOwnThatMetricsCanCarry) {
  std::set<std::string_view> names;
  for (const auto& [name, help] : kDropReasonTexts) {
    EXPECT_TRUE(names.insert(name).second) << name << " twice";
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"), std::string_view::npos)
        << name;
    EXPECT_FALSE(help.empty()) << name;
  }
}

TEST(DropReasons, AreNamedByTheirPlaceInTheEnum) {
  EXPECT_EQ(drop_reason_name(DropReason::kNotForVip), "not_for_vip");
  EXPECT_EQ(drop_reason_name(DropReason::kFragment), "fragment");
  EXPECT_EQ(drop_reason_name(DropReason::kTooBig), "too_big");
  EXPECT_EQ(drop_reason_name(DropReason::kTxFull), "tx_full");
}

}  // namespace
}  // namespace sluice
