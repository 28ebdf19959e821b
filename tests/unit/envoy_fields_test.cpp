// The table of an Envoy bootstrap's fields against the document and against the code that reads them.
#include "control/proxy/envoy_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/proxy/proxy_file.h"
#include "tests/unit/documentation.h"
#include "tests/unit/envoy_text.h"

namespace sluice {
namespace {

using test::documented_rows;
using test::kDocs;
using test::only_cluster;
using test::text_of;
using testing::ElementsAre;

TEST(EnvoyBootstrap, TheDocumentIsTheTableWordForWord) {
  auto rows = documented_rows("envoy-bootstrap.md");
  std::erase_if(rows, [](const auto& row) { return row.second.find('.') == std::string::npos; });
  for (const EnvoyField& field : envoy_fields()) {
    const std::string name = std::string(field.message) + "." + std::string(field.field);
    const bool ignored = field.use == EnvoyField::Use::kIgnored;
    EXPECT_EQ(rows[name], "| `" + name + "` | " + std::string(ignored ? "not used" : field.ours) + " | " +
                              std::string(field.notes) + " |");
    EXPECT_FALSE(ignored && field.notes.empty()) << name;
    EXPECT_FALSE(!ignored && field.ours.empty()) << name;
    rows.erase(name);
  }
  for (const auto& [name, line] : rows) ADD_FAILURE() << "not in the table: " << line;
}

TEST(EnvoyBootstrap, ReadersLookForExactlyWhatTheTableSaysTheyRead) {
  const std::string text = text_of(SLUICE_SOURCE_DIR "/tests/unit/envoy/everything.yaml");
  const auto read = parse_envoy_bootstrap(text, "everything.yaml");
  ASSERT_TRUE(read) << read.error().message;
  for (const EnvoyField& field : envoy_fields()) {
    const std::string name = std::string(field.message) + "." + std::string(field.field);
    EXPECT_EQ(read->fields.contains(name), field.use == EnvoyField::Use::kRead) << name;
  }
  for (const std::string& name : read->fields) {
    const size_t dot = name.find('.');
    EXPECT_NE(find_envoy_field(name.substr(0, dot), name.substr(dot + 1)), nullptr) << name;
  }
}

TEST(EnvoyBootstrap, TheExampleIsCorrect) {
  const auto read = load_proxy_file({kDocs + "examples/envoy-grpc.yaml", true, 0});
  ASSERT_TRUE(read) << read.error().message;
  const auto& cluster = only_cluster(read->config);
  EXPECT_EQ(cluster.protocol, l7::HttpVersion::kHttp2);
  EXPECT_FALSE(cluster.http2.malformed_ends_connection);
  EXPECT_THAT(read->config.care[0].check_ports, ElementsAre(8081, 8081));
  EXPECT_GE(read->config.settings.workers, 1u);
}

}  // namespace
}  // namespace sluice
