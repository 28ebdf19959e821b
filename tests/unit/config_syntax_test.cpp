// Files that are no configuration, or no YAML, or far too much of it.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "control/yaml_tree.h"
#include "tests/unit/config_text.h"

namespace sluice {
namespace {

using test::ConfigText;
using test::error_of;
using testing::HasSubstr;

TEST(Config, AllErrorsAreReportedInTheOrderOfTheFile) {
  const std::string text =
      "node:\n"
      "  name: lb 1\n"
      "  cluster_seed: s\n"
      "ports:\n"
      "  - name: wan\n"
      "    af_xdp: eth1\n"
      "    mtu: 9\n"
      "vips:\n"
      "  - name: web\n"
      "    address: 203.0.113.300\n"
      "    protocol: tcp\n"
      "    port: 99999\n"
      "    pol: web\n";
  std::istringstream lines(error_of(text));
  std::vector<std::string> starts;
  for (std::string line; std::getline(lines, line);) starts.push_back(line.substr(0, line.find("; ")));
  EXPECT_THAT(starts, testing::ElementsAre(
                          "f.yaml:2:9: node.name: found 'lb 1'", "f.yaml:7:10: ports[0].mtu: found '9'",
                          "f.yaml:9:5: vips[0].pool: found nothing",
                          "f.yaml:10:14: vips[0].address: found '203.0.113.300'",
                          "f.yaml:12:11: vips[0].port: found '99999'",
                          "f.yaml:13:5: vips[0]: found unknown field 'pol', did you mean 'pool'?"));
}

TEST(Config, ThousandsOfErrorsAreCutToAHundredAndANumber) {
  ConfigText text;
  text.vips = "vips:\n";
  for (int i = 0; i < 500; ++i) text.vips += "  - 7\n";
  const std::string error = error_of(text);
  EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 100);
  EXPECT_THAT(error, testing::EndsWith("\nf.yaml: and 400 more errors"));
}

TEST(Config, BadSyntaxIsReportedWithItsPlace) {
  EXPECT_THAT(error_of("node: [a\nports: x\n"), testing::StartsWith("f.yaml:"));
  EXPECT_THAT(error_of("node:\n\tname: x\n"), testing::StartsWith("f.yaml:2:"));
  EXPECT_THAT(error_of("node: {name: 'a}\n"), HasSubstr("YAML syntax"));
  EXPECT_THAT(error_of("node: a: b: c\n"), testing::StartsWith("f.yaml:1:"));
}

TEST(Config, EmptyFilesAndOtherDocumentsAreRefused) {
  EXPECT_THAT(error_of(""), testing::StartsWith("f.yaml:1:1: the file holds nothing; accepted"));
  EXPECT_THAT(error_of("# only a comment\n\n"), HasSubstr("the file holds nothing"));
  EXPECT_THAT(error_of("--- \n"), HasSubstr("the file holds nothing"));
  EXPECT_THAT(error_of("just words"), HasSubstr("found 'just words'; accepted: a map"));
  EXPECT_THAT(error_of("- a\n"), HasSubstr("found a list; accepted: a map"));
  EXPECT_THAT(error_of("a: b\n---\nc: d\n"), testing::StartsWith("f.yaml:2:1: a second document"));
}

TEST(Config, AliasesAndTagsAreRefusedSoThatNoBombExpands) {
  EXPECT_THAT(error_of("node: &n {name: a}\nports: *n\n"), HasSubstr("f.yaml:2:8: aliases"));
  EXPECT_THAT(error_of("node: {name: !!binary aGk=}\n"), HasSubstr("tags"));
  EXPECT_THAT(error_of("ports: !!set {a}\n"), HasSubstr("tags"));
}

TEST(Config, DeepNestingIsRefusedWithoutARunawayStack) {
  EXPECT_THAT(error_of("node: " + std::string(100'000, '[')), HasSubstr("nested more than 32 deep"));
  std::string block;
  for (size_t i = 0; i < 2000; ++i) block += std::string(i, ' ') + "a:\n";
  EXPECT_THAT(error_of(block), HasSubstr("nested more than 32 deep"));
}

TEST(Config, ControlCharactersAndBrokenUtf8AreRefused) {
  using namespace std::string_literals;
  EXPECT_THAT(error_of("node:\n  na\0me: x"s), HasSubstr("f.yaml:2:5: found control character 0x00"));
  EXPECT_THAT(error_of("a: \x04"s), HasSubstr("found control character 0x04"));
  for (const auto& bytes : {"\xff"s, "\xc0\xaf"s, "\xe0\x80\x80"s, "\xed\xa0\x80"s, "\xf4\x90\x80\x80"s,
                            "\xf0\x80\x80\x80"s, "\xe2\x82"s, "\x80"s}) {
    EXPECT_THAT(error_of("a: " + bytes), HasSubstr("which is not UTF-8"));
  }
  ConfigText text;
  text.node = "node: {name: lb1, cluster_seed: 'grüße €\xf0\x9f\x98\x80'}\n";
  EXPECT_TRUE(parse(text)) << error_of(text);
}

TEST(Config, ErrorsStayOnOneLineWhateverTheFileHolds) {
  ConfigText text;
  text.node = R"(node: {name: "a\n\e[31mb", cluster_seed: s})"
              "\n";
  const std::string error = error_of(text);
  EXPECT_THAT(error, HasSubstr("found 'a??[31mb'"));
  EXPECT_EQ(error.find('\n'), std::string::npos);
}

TEST(Config, HugeFileIsRefused) {
  EXPECT_THAT(error_of(std::string(kMaxYamlBytes + 1, '#')), HasSubstr("larger than 16 MiB"));
}

TEST(Config, TooManyValuesAreRefused) {
  std::string text = "ports: [";
  for (size_t i = 0; i <= kMaxYamlNodes; ++i) text += "a,";
  EXPECT_THAT(error_of(text), HasSubstr("more than 2000000 values"));
}

TEST(Config, ThousandsOfVipsAndBackendsAreReadInGoodTime) {
  ConfigText text;
  text.tunnel = "tunnel: {source_ipv6: '2001:db8::1'}\n";
  text.vips = "vips:\n";
  text.pools = "pools:\n";
  for (int i = 0; i < 1000; ++i) {
    text.vips += fmt::format(
        "  - {{name: v{0}, address: '2001:db8::1:{0}', protocol: tcp, port: 80, pool: p{0}}}\n", i);
    text.pools += fmt::format("  - name: p{}\n    backends:\n", i);
    for (int b = 1; b <= 10; ++b) text.pools += fmt::format("      - {{address: '2001:db8::2:{}'}}\n", b);
  }
  const auto config = parse(text);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->services.vips.size(), 1000u);
  EXPECT_EQ(config->services.pools.back().backends.size(), 10u);
}

TEST(Config, UnreadableFilesSayWhy) {
  const auto missing = load_config("/nonexistent/lb.yaml");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message,
            "/nonexistent/lb.yaml: cannot be read: No such file or directory; accepted: a readable file");
  const auto directory = load_config("/");
  ASSERT_FALSE(directory);
  EXPECT_THAT(directory.error().message, HasSubstr("Is a directory"));
}

}  // namespace
}  // namespace sluice
