#include "dataplane/l7/huffman.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "lb/l7/random.h"
#include "tests/unit/nghttp2_hpack.h"

namespace sluice::l7 {
namespace {

std::optional<std::string> decode(const std::vector<uint8_t>& coded) {
  // Exactly the room that is promised, so that a step outside is found by the address sanitizer.
  std::vector<char> into(huffman_decoded_bound(coded.size()));
  const ptrdiff_t size = huffman_decode(coded, into.data());
  if (size < 0) return std::nullopt;
  EXPECT_LE(static_cast<size_t>(size), into.size());
  return std::string(into.data(), static_cast<size_t>(size));
}

std::vector<uint8_t> encode(std::string_view text) {
  std::string coded;
  huffman_encode(text, coded);
  return {coded.begin(), coded.end()};
}

std::string all_symbols() {
  std::string text;
  for (int c = 0; c < 256; ++c) text.push_back(static_cast<char>(c));
  return text;
}

TEST(Huffman, TheExamplesOfRfc7541) {
  const std::vector<std::pair<std::string, std::vector<uint8_t>>> examples = {
      {"www.example.com", {0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff}},
      {"no-cache", {0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf}},
      {"custom-key", {0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f}},
      {"302", {0x64, 0x02}},
  };
  for (const auto& [text, coded] : examples) {
    EXPECT_EQ(encode(text), coded) << text;
    EXPECT_EQ(decode(coded), text);
    EXPECT_EQ(huffman_size(text), coded.size());
  }
}

TEST(Huffman, EachSymbolSurvivesAloneAndBetweenOthers) {
  for (int c = 0; c < 256; ++c) {
    const std::string text(1, static_cast<char>(c));
    EXPECT_EQ(decode(encode(text)), text) << c;
    EXPECT_EQ(decode(encode("a" + text + "a" + text)), "a" + text + "a" + text) << c;
  }
  EXPECT_EQ(decode(encode(all_symbols())), all_symbols());
  EXPECT_EQ(decode({}), "");
}

// nghttp2's table is the second opinion on all 256 codes.
TEST(Huffman, CodesAreThoseOfNghttp2) {
  for (int c = 0; c < 256; ++c) {
    const std::string text(3, static_cast<char>(c));
    const auto coded = encode(text);
    ASSERT_LT(coded.size(), 127u);
    std::vector<uint8_t> block = {0x00, 0x01, 'x', static_cast<uint8_t>(0x80 | coded.size())};
    block.insert(block.end(), coded.begin(), coded.end());
    Nghttp2Inflater inflater;
    const auto fields = inflater.decode(block);
    ASSERT_TRUE(fields) << c;
    EXPECT_EQ(fields->at(0).value, text) << c;
  }
}

TEST(Huffman, RandomTextsSurvive) {
  Random random(1);
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    const size_t size = random() % 40;
    const bool printable = random() % 2 == 0;
    while (text.size() < size) text.push_back(static_cast<char>(printable ? ' ' + random() % 95 : random()));
    const auto coded = encode(text);
    ASSERT_EQ(coded.size(), huffman_size(text));
    ASSERT_EQ(decode(coded), text);
  }
}

// RFC 7541 section 5.2.
TEST(Huffman, PaddingIsAtMostSevenOnes) {
  EXPECT_EQ(decode({0x1f}), "a");                 // 00011 and three ones
  EXPECT_EQ(decode({0x1e}), std::nullopt);        // padded with 110
  EXPECT_EQ(decode({0x18}), std::nullopt);        // padded with zeros
  EXPECT_EQ(decode({0x1f, 0xff}), std::nullopt);  // eleven ones
  EXPECT_EQ(decode({0xff}), std::nullopt);        // eight ones
}

TEST(Huffman, TheEndOfStringSymbolIsAnError) {
  EXPECT_EQ(decode({0xff, 0xff, 0xff, 0xff}), std::nullopt);
  EXPECT_EQ(decode({0x1f, 0xff, 0xff, 0xff, 0xff}), std::nullopt);
}

TEST(Huffman, ACodeThatIsCutOffIsAnError) {
  // Symbol 0 has thirteen bits: 1111111111000.
  EXPECT_EQ(decode({0xff, 0xc7}), std::string(1, '\0'));
  EXPECT_EQ(decode({0xff}), std::nullopt);
  EXPECT_EQ(decode({0xff, 0xc0}), std::nullopt);  // ends in zeros
}

}  // namespace
}  // namespace sluice::l7
