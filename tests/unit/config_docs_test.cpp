// The documents of sluiced's configuration against the code.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "control/config_fields.h"
#include "tests/unit/config_text.h"
#include "tests/unit/documentation.h"

namespace sluice {
namespace {

using test::documented_rows;
using test::error_of;
using test::kDocs;
using testing::HasSubstr;

TEST(Config, ExamplesAreCorrect) {
  size_t examples = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kDocs + "examples")) {
    // sluice-proxy's, see proxy_docs_test.cpp and envoy_fields_test.cpp.
    if (entry.path().filename() == "proxy.yaml" || entry.path().filename() == "envoy-grpc.yaml") continue;
    if (entry.path().extension() != ".yaml") continue;
    const auto config = load_config(entry.path());
    EXPECT_TRUE(config) << config.error().message;
    ++examples;
  }
  EXPECT_GE(examples, 2u);
}

TEST(ConfigDocs, ListEveryFieldAsTheCodeHasItAndNoOther) {
  auto rows = documented_rows("configuration.md");
  for (const ConfigField& field : config_fields()) {
    const std::string expected = fmt::format("| `{}` | {} | {} | {} |", field.path, field.accepted_text(),
                                             field.otherwise, field.help);
    EXPECT_EQ(rows[std::string(field.path)], expected);
    rows.erase(std::string(field.path));
  }
  for (const auto& [path, row] : rows) ADD_FAILURE() << "no such field in the code: " << row;
}

TEST(ConfigDocs, ExamplesInThePageAreFieldsOfTheCode) {
  std::ifstream file(kDocs + "configuration.md");
  std::string block;
  bool inside = false;
  size_t blocks = 0;
  for (std::string line; std::getline(file, line);) {
    if (line == "```yaml") {
      inside = true;
      block.clear();
    } else if (line == "```" && inside) {
      inside = false;
      ++blocks;
      EXPECT_THAT(error_of(block), testing::Not(HasSubstr("unknown field"))) << block;
      EXPECT_THAT(error_of(block), testing::Not(HasSubstr("YAML syntax"))) << block;
    } else if (inside) {
      block += line + '\n';
    }
  }
  EXPECT_GE(blocks, 7u);
}

}  // namespace
}  // namespace sluice
