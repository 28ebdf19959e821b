// HPACK against that of nghttp2: each reads what the other has written.
#include <gtest/gtest.h>

#include <string>

#include "dataplane/l7/hpack_static_table.h"
#include "dataplane/l7/huffman.h"
#include "lb/l7/random.h"
#include "tests/unit/hpack_blocks.h"

namespace sluice::l7 {
namespace {

constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789-";

std::string random_text(Random& random, size_t most, bool any_byte) {
  std::string text;
  // Around 127 a length takes a second byte.
  const size_t size = random() % 8 == 0 ? 120 + random() % 20 : random() % most;
  while (text.size() < size) {
    text.push_back(any_byte ? static_cast<char>(random()) : kAlphabet[random() % kAlphabet.size()]);
  }
  return text;
}

TestFields random_fields(Random& random) {
  TestFields fields;
  const size_t count = random() % 12;
  while (fields.size() < count) {
    TestField field;
    switch (random() % 3) {
      case 0: {
        const HpackStaticEntry& entry = kHpackStaticTable[random() % kHpackStaticTable.size()];
        field = {std::string(entry.name), std::string(entry.value)};
        if (random() % 2 == 0) field.value = random_text(random, 30, false);
        break;
      }
      case 1:  // a small world, so that the dynamic table is hit
        field = {"name" + std::to_string(random() % 5), "value" + std::to_string(random() % 5)};
        break;
      default:
        field = {"x" + random_text(random, 20, false), random_text(random, 300, true)};
    }
    field.sensitive = random() % 8 == 0;
    fields.push_back(field);
  }
  return fields;
}

bool is_short_cookie(const TestField& field) {
  return field.name == "cookie" && field.value.size() < 20;
}

TEST(HpackDifferential, WhatNghttp2EncodesIsDecoded) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Random random(seed);
    Nghttp2Deflater deflater;
    HpackDecoder decoder;
    for (int round = 0; round < 300; ++round) {
      if (random() % 16 == 0) deflater.change_table_size(random() % 4097);
      TestFields fields = random_fields(random);
      const Decoded got = decode(decoder, deflater.encode(fields));
      // nghttp2 decides by itself that these are secrets.
      for (TestField& field : fields)
        field.sensitive |= field.name == "authorization" || is_short_cookie(field);
      ASSERT_EQ(got.error, HpackError::kNone) << "seed " << seed << " round " << round;
      ASSERT_EQ(got.fields, fields) << "seed " << seed << " round " << round;
    }
  }
}

TEST(HpackDifferential, Nghttp2DecodesWhatWeEncode) {
  Random random(7);
  Nghttp2Inflater inflater;
  for (int round = 0; round < 5000; ++round) {
    const TestFields fields = random_fields(random);
    const auto got = inflater.decode(encode(fields));
    ASSERT_TRUE(got) << round;
    ASSERT_EQ(*got, fields) << round;
  }
}

// A writer of every representation that there is: nghttp2's own encoder never uses most of them.
class AnyRepresentation {
 public:
  explicit AnyRepresentation(Random& random) : random_(random) {}

  Bytes block() {
    Bytes out;
    for (size_t updates = random_() % 16 < 14 ? 0 : random_() % 3; updates > 0; --updates) {
      integer(out, 0x20, 5, random_() % 2 == 0 ? random_() % 4200 : 4096);
    }
    for (size_t fields = random_() % 10; fields > 0; --fields) field(out);
    return out;
  }

 private:
  void integer(Bytes& out, uint8_t first, unsigned prefix_bits, uint64_t value) {
    const uint64_t limit = (1u << prefix_bits) - 1;
    if (value < limit) {
      out.push_back(static_cast<uint8_t>(first | value));
      return;
    }
    out.push_back(static_cast<uint8_t>(first | limit));
    for (value -= limit; value >= 0x80; value >>= 7) out.push_back(static_cast<uint8_t>(value | 0x80));
    out.push_back(static_cast<uint8_t>(value));
  }
  void text(Bytes& out, std::string value) {
    const bool coded = random_() % 2 == 0;
    if (coded) {
      std::string into;
      huffman_encode(value, into);
      value = into;
    }
    integer(out, coded ? 0x80 : 0, 7, value.size());
    out.insert(out.end(), value.begin(), value.end());
  }
  uint64_t index() {
    const uint64_t kind = random_() % 32;
    return kind == 0 ? random_() % 200 : kind < 16 ? 62 + random_() % 2 : 1 + random_() % 61;
  }
  void field(Bytes& out) {
    switch (random_() % 4) {
      case 0:
        integer(out, 0x80, 7, index());
        return;
      case 1:
        literal(out, 0x40, 6);
        return;
      case 2:
        literal(out, 0x00, 4);
        return;
      default:
        literal(out, 0x10, 4);
    }
  }
  void literal(Bytes& out, uint8_t first, unsigned prefix_bits) {
    const bool named = random_() % 2 == 0;
    integer(out, first, prefix_bits, named ? index() : 0);
    if (!named) text(out, "n" + random_text(random_, 10, false));
    text(out, random_text(random_, 1000, random_() % 2 == 0));
  }

  Random& random_;
};

TEST(HpackDifferential, AnyRepresentationIsReadAsNghttp2ReadsIt) {
  size_t accepted = 0;
  size_t refused = 0;
  for (uint64_t seed = 1; seed <= 3000; ++seed) {
    Random random(seed);
    AnyRepresentation writer(random);
    Nghttp2Inflater inflater;
    HpackDecoder decoder;
    for (int round = 0; round < 20; ++round) {
      Bytes block = writer.block();
      if (random() % 8 == 0 && !block.empty())
        block[random() % block.size()] = static_cast<uint8_t>(random());
      const auto expected = inflater.decode(block);
      const Decoded got = decode(decoder, block);
      ASSERT_EQ(got.error == HpackError::kNone, expected.has_value())
          << "seed " << seed << " round " << round << ": " << text_of(got.error);
      if (!expected) {
        ++refused;
        break;
      }
      ASSERT_EQ(got.fields, *expected) << "seed " << seed << " round " << round;
      ++accepted;
    }
  }
  // Both ends are really met.
  EXPECT_GT(accepted, 2000u);
  EXPECT_GT(refused, 1000u);
}

}  // namespace
}  // namespace sluice::l7
