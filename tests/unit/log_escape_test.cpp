#include "dataplane/l7/log_escape.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "lb/l7/random.h"

namespace sluice::l7 {
namespace {

std::string text_of(std::string_view value) {
  std::string out = "=";
  append_text_escaped(out, value);
  return out;
}

std::string json_of(std::string_view value) {
  std::string out = "=";
  append_json_escaped(out, value);
  return out;
}

TEST(LogEscape, PlainTextStaysAsItIs) {
  EXPECT_EQ(text_of("/a?b=c d~!"), "=/a?b=c d~!");
  EXPECT_EQ(json_of("/a?b=c d~!"), "=/a?b=c d~!");
  EXPECT_EQ(text_of(""), "=");
  EXPECT_EQ(json_of(""), "=");
}

TEST(LogEscape, InTextNothingEndsTheLineOrTheQuotesOrReachesTheTerminal) {
  EXPECT_EQ(text_of("a\"b\\c"), R"(=a\"b\\c)");
  EXPECT_EQ(text_of("x\r\nfake"), R"(=x\x0d\x0afake)");
  EXPECT_EQ(text_of("\x1b[2J\x7f"), R"(=\x1b[2J\x7f)");
  EXPECT_EQ(text_of("\xc3\xa4\x9b"), R"(=\xc3\xa4\x9b)");
  EXPECT_EQ(text_of(std::string_view("\0z", 2)), R"(=\x00z)");
}

TEST(LogEscape, InJsonControlCharactersAreEscapedAndUtf8Stays) {
  EXPECT_EQ(json_of("a\"b\\c\n\t"), R"(=a\"b\\c\n\t)");
  EXPECT_EQ(json_of("\x1b[2J\x7f\r"), R"(=\u001b[2J\u007f\u000d)");
  EXPECT_EQ(json_of("\xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\xa2"), "=\xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\xa2");
  EXPECT_EQ(json_of("\xc2\x9b"), R"(=\u009b)") << "CSI, which some terminals obey";
}

TEST(LogEscape, InJsonBytesThatAreNoUtf8AreReplaced) {
  const std::string replaced = "\xef\xbf\xbd";
  EXPECT_EQ(json_of("\xff"), "=" + replaced);
  EXPECT_EQ(json_of("\xc3"), "=" + replaced) << "cut off";
  EXPECT_EQ(json_of("\xc0\xaf"), "=" + replaced + replaced) << "too long a form";
  EXPECT_EQ(json_of("\xe0\x80\xaf"), "=" + replaced + replaced + replaced);
  EXPECT_EQ(json_of("\xed\xa0\x80"), "=" + replaced + replaced + replaced) << "half of a surrogate pair";
  EXPECT_EQ(json_of("\xf4\x90\x80\x80"), "=" + replaced + replaced + replaced + replaced) << "above U+10FFFF";
}

TEST(LogEscape, WhateverBytesComeTheLineIsOneAndTheJsonGood) {
  Random random(11);
  for (int round = 0; round < 20'000; ++round) {
    std::string value(random.below(12), ' ');
    // Mostly of those that begin or go on a sequence.
    for (char& byte : value)
      byte = static_cast<char>(random.below(4) == 0 ? random.below(256) : 0x80 + random.below(0x80));
    const std::string text = text_of(value);
    ASSERT_TRUE(std::ranges::all_of(text, [](char byte) { return byte >= 0x20 && byte < 0x7f; }));
    const auto parsed = nlohmann::json::parse("\"" + json_of(value) + "\"", nullptr, false);
    ASSERT_FALSE(parsed.is_discarded()) << text;
    // What was good UTF-8 comes back as it was.
    if (nlohmann::json::accept("\"" + value + "\"") && value.find('\\') == std::string::npos) {
      ASSERT_EQ(parsed.get<std::string>(), "=" + value);
    }
  }
}

}  // namespace
}  // namespace sluice::l7
