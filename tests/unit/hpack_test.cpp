#include "dataplane/l7/hpack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "dataplane/l7/hpack_static_table.h"
#include "lb/l7/random.h"
#include "tests/unit/hpack_blocks.h"

namespace sluice::l7 {
namespace {

using testing::ElementsAre;

Bytes hex(std::string_view text) {
  Bytes bytes;
  std::string digits;
  for (const char c : text) {
    if (c == ' ') continue;
    digits.push_back(c);
    if (digits.size() == 2) {
      bytes.push_back(static_cast<uint8_t>(std::stoi(digits, nullptr, 16)));
      digits.clear();
    }
  }
  return bytes;
}

HpackError error_of(const Bytes& block) {
  HpackDecoder decoder;
  return decode(decoder, block).error;
}

// --- RFC 7541 appendix C

TEST(Hpack, SingleRepresentationsOfAppendixC2) {
  HpackDecoder decoder;
  EXPECT_EQ(decode(decoder, hex("400a637573746f6d2d6b65790d637573746f6d2d686561646572")).fields,
            (TestFields{{"custom-key", "custom-header"}}));
  EXPECT_EQ(decode(decoder, hex("be")).fields, (TestFields{{"custom-key", "custom-header"}}));
  EXPECT_EQ(decode(decoder, hex("040c2f73616d706c652f70617468")).fields,
            (TestFields{{":path", "/sample/path"}}));
  EXPECT_EQ(decode(decoder, hex("100870617373776f726406736563726574")).fields,
            (TestFields{{"password", "secret", true}}));
  EXPECT_EQ(decode(decoder, hex("82")).fields, (TestFields{{":method", "GET"}}));
  // Neither of the last two literals has entered the table.
  EXPECT_EQ(decode(decoder, hex("bf")).error, HpackError::kBadIndex);
}

const std::vector<TestFields> kRequests = {
    {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "www.example.com"}},
    {{":method", "GET"},
     {":scheme", "http"},
     {":path", "/"},
     {":authority", "www.example.com"},
     {"cache-control", "no-cache"}},
    {{":method", "GET"},
     {":scheme", "https"},
     {":path", "/index.html"},
     {":authority", "www.example.com"},
     {"custom-key", "custom-value"}},
};
const std::vector<TestFields> kResponses = {
    {{":status", "302"},
     {"cache-control", "private"},
     {"date", "Mon, 21 Oct 2013 20:13:21 GMT"},
     {"location", "https://www.example.com"}},
    {{":status", "307"},
     {"cache-control", "private"},
     {"date", "Mon, 21 Oct 2013 20:13:21 GMT"},
     {"location", "https://www.example.com"}},
    {{":status", "200"},
     {"cache-control", "private"},
     {"date", "Mon, 21 Oct 2013 20:13:22 GMT"},
     {"location", "https://www.example.com"},
     {"content-encoding", "gzip"},
     {"set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"}},
};

void expect_sequence(uint32_t table_size, const std::vector<std::string>& blocks,
                     const std::vector<TestFields>& expected) {
  HpackDecoder decoder(table_size);
  for (size_t i = 0; i < blocks.size(); ++i) {
    const Decoded got = decode(decoder, hex(blocks[i]));
    EXPECT_EQ(got.error, HpackError::kNone) << i;
    EXPECT_EQ(got.fields, expected[i]) << i;
  }
}

TEST(Hpack, RequestsOfAppendixC3WithoutHuffman) {
  expect_sequence(4096,
                  {"828684410f7777772e6578616d706c652e636f6d", "828684be58086e6f2d6361636865",
                   "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565"},
                  kRequests);
}

TEST(Hpack, RequestsOfAppendixC4WithHuffman) {
  expect_sequence(4096,
                  {"828684418cf1e3c2e5f23a6ba0ab90f4ff", "828684be5886a8eb10649cbf",
                   "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"},
                  kRequests);
}

TEST(Hpack, ResponsesOfAppendixC5WithEviction) {
  expect_sequence(
      256,
      {"4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54"
       "6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
       "4803333037c1c0bf",
       "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d"
       "4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b20766572"
       "73696f6e3d31"},
      kResponses);
}

TEST(Hpack, ResponsesOfAppendixC6WithHuffmanAndEviction) {
  expect_sequence(
      256,
      {"488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97"
       "c8e9ae82ae43d3",
       "4883640effc1c0bf",
       "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdf"
       "cd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007"},
      kResponses);
}

TEST(Hpack, StaticTableIsThatOfNghttp2) {
  for (uint8_t index = 1; index <= 61; ++index) {
    const Bytes block = {static_cast<uint8_t>(0x80 | index)};
    Nghttp2Inflater inflater;
    HpackDecoder decoder;
    EXPECT_EQ(decode(decoder, block).fields, *inflater.decode(block)) << int{index};
  }
  EXPECT_EQ(kHpackStaticTable.size(), 61u);
}

// --- errors

TEST(Hpack, ABlockThatEndsInsideAFieldIsTruncated) {
  const Bytes whole = hex("400a637573746f6d2d6b65790d637573746f6d2d686561646572");
  for (size_t size = 1; size < whole.size(); ++size) {
    EXPECT_EQ(error_of({whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size)}), HpackError::kTruncated)
        << size;
  }
  EXPECT_EQ(error_of({}), HpackError::kNone);
  EXPECT_EQ(error_of(hex("ff")), HpackError::kTruncated);        // an index goes on
  EXPECT_EQ(error_of(hex("ff80")), HpackError::kTruncated);      // and on
  EXPECT_EQ(error_of(hex("3f")), HpackError::kTruncated);        // a table size goes on
  EXPECT_EQ(error_of(hex("0001617f")), HpackError::kTruncated);  // a length goes on
  EXPECT_EQ(error_of(hex("00016102")), HpackError::kTruncated);
}

TEST(Hpack, IntegersBeyond32BitsAreRefused) {
  // RFC 7541 section 5.1; the same for indexes, lengths and table sizes.
  EXPECT_EQ(error_of(hex("ff80ffffff0f")), HpackError::kBadIndex);  // 2^32-1, which is in range
  EXPECT_EQ(error_of(hex("ff81ffffff0f")), HpackError::kBadInteger);
  EXPECT_EQ(error_of(hex("ffffffffff7f")), HpackError::kBadInteger);
  EXPECT_EQ(error_of(hex("ff808080808000")), HpackError::kBadInteger);
  EXPECT_EQ(error_of(hex("7fffffffffff00")), HpackError::kBadInteger);
  EXPECT_EQ(error_of(hex("3fffffffffff00")), HpackError::kBadInteger);
  EXPECT_EQ(error_of(hex("00ffffffffffff00")), HpackError::kBadInteger);
  EXPECT_EQ(error_of(hex("0001617fffffffffff00")), HpackError::kBadInteger);
}

TEST(Hpack, IndexesBeyondTheTablesAreRefused) {
  EXPECT_EQ(error_of(hex("80")), HpackError::kBadIndex);      // 0
  EXPECT_EQ(error_of(hex("be")), HpackError::kBadIndex);      // 62, and the dynamic table is empty
  EXPECT_EQ(error_of(hex("7e0161")), HpackError::kBadIndex);  // as a name
  EXPECT_EQ(error_of(hex("0f2f0161")), HpackError::kBadIndex);
  HpackDecoder decoder;
  ASSERT_EQ(decode(decoder, hex("4001610162")).error, HpackError::kNone);
  EXPECT_THAT(decode(decoder, hex("be")).fields, ElementsAre(TestField{"a", "b"}));
  EXPECT_THAT(decode(decoder, hex("7e0163")).fields, ElementsAre(TestField{"a", "c"}));
  EXPECT_THAT(decode(decoder, hex("bebf")).fields, ElementsAre(TestField{"a", "c"}, TestField{"a", "b"}));
  EXPECT_EQ(decode(decoder, hex("c0")).error, HpackError::kBadIndex);
}

TEST(Hpack, BadHuffmanIsRefusedInNameAndValue) {
  EXPECT_EQ(error_of(hex("0081180161")), HpackError::kBadHuffman);
  EXPECT_EQ(error_of(hex("00016181ff")), HpackError::kBadHuffman);
  EXPECT_EQ(error_of(hex("000161811f")), HpackError::kNone);
}

// --- the dynamic table

TEST(Hpack, TableSizeUpdatesStandBeforeTheFieldsAndWithinTheLimit) {
  EXPECT_EQ(error_of(hex("20")), HpackError::kNone);
  EXPECT_EQ(error_of(hex("203fe11f82")), HpackError::kNone);      // 0, then 4096
  EXPECT_EQ(error_of(hex("3fe21f")), HpackError::kBadTableSize);  // 4097
  EXPECT_EQ(error_of(hex("8220")), HpackError::kBadTableSize);
  // RFC 7541 appendix C.1: ten in a five-bit prefix is one byte, 1337 takes three.
  HpackDecoder of_1337(1337);
  EXPECT_EQ(decode(of_1337, hex("2a3f9a0a")).error, HpackError::kNone);
  HpackDecoder of_1336(1336);
  EXPECT_EQ(decode(of_1336, hex("2a3f9a0a")).error, HpackError::kBadTableSize);
}

TEST(Hpack, ATableSizeUpdateEvicts) {
  HpackDecoder decoder;
  ASSERT_EQ(decode(decoder, hex("40016101624001630164")).error, HpackError::kNone);
  // Each entry counts 34: 67 bytes hold one.
  EXPECT_THAT(decode(decoder, hex("3f24be")).fields, ElementsAre(TestField{"c", "d"}));
  EXPECT_EQ(decode(decoder, hex("bf")).error, HpackError::kBadIndex);
  EXPECT_EQ(decode(decoder, hex("20be")).error, HpackError::kBadIndex);
}

TEST(Hpack, AnEntryCountsItsTextsAnd32) {
  HpackTable table(100);
  table.add("name", "value", HeaderToken::kOther);
  EXPECT_EQ(table.size(), 41u);
  table.add("name", "value2", HeaderToken::kOther);
  EXPECT_EQ(table.size(), 83u);
  EXPECT_EQ(table.count(), 2u);
  table.add("n", "", HeaderToken::kOther);  // 33 more than fit
  EXPECT_EQ(table.count(), 2u);
  EXPECT_EQ(table.at(0).name, "n");
  EXPECT_EQ(table.at(1).value, "value2");
  table.add(std::string(68, 'x'), "", HeaderToken::kOther);  // 100: fits alone
  EXPECT_EQ(table.count(), 1u);
  table.add(std::string(69, 'x'), "", HeaderToken::kOther);  // larger than the table: empties it
  EXPECT_EQ(table.count(), 0u);
  EXPECT_EQ(table.size(), 0u);
  EXPECT_EQ(table.max_size(), 100u);
}

// RFC 7541 section 4.4: a name may refer to an entry that the new one evicts.
TEST(Hpack, ANewEntryMayTakeItsNameFromTheOneThatItEvicts) {
  HpackDecoder decoder(64);
  ASSERT_EQ(decode(decoder, hex("4008 6162636465666768 0131")).error, HpackError::kNone);
  for (int i = 0; i < 1000; ++i) {
    const Decoded got = decode(decoder, hex("7e 0132"));
    ASSERT_THAT(got.fields, ElementsAre(TestField{"abcdefgh", "2"})) << i;
    ASSERT_THAT(decode(decoder, hex("be")).fields, ElementsAre(TestField{"abcdefgh", "2"})) << i;
    ASSERT_EQ(decode(decoder, hex("20")).error, HpackError::kNone);
    ASSERT_EQ(decode(decoder, hex("3f21 4008 6162636465666768 0131")).error, HpackError::kNone);
  }
}

TEST(Hpack, TheTableTakesNoMemoryBeforeItsFirstEntryAndABoundedOneAfter) {
  HpackDecoder decoder;
  EXPECT_EQ(decoder.capacity(), 0u);
  Random random(1);
  for (int i = 0; i < 20'000; ++i) {
    TestFields fields = {{"n" + std::to_string(random() % 1000), std::string(random() % 200, 'v')}};
    Bytes block = {0x40, static_cast<uint8_t>(fields[0].name.size())};
    block.insert(block.end(), fields[0].name.begin(), fields[0].name.end());
    block.push_back(static_cast<uint8_t>(std::min<size_t>(fields[0].value.size(), 126)));
    block.insert(block.end(), block.back(), 'v');
    ASSERT_EQ(decode(decoder, block).error, HpackError::kNone);
  }
  // Twice the table's bytes and, for its smallest entries, slots of sixteen bytes.
  EXPECT_LE(decoder.capacity(), 2 * 4096 + 512 * 16u);
}

// --- limits

TEST(Hpack, TooLongAListIsReadToItsEndAndRefused) {
  HpackDecoder decoder;
  // 1 + 1 + 32 = 34 per field.
  const Decoded got = decode(decoder, hex("4001610162 4001630164 4001650166"), {68, 100});
  EXPECT_EQ(got.error, HpackError::kTooLarge);
  EXPECT_THAT(got.fields, ElementsAre(TestField{"a", "b"}, TestField{"c", "d"}));
  // The table is right all the same.
  EXPECT_THAT(decode(decoder, hex("bebfc0"), {102, 100}).fields,
              ElementsAre(TestField{"e", "f"}, TestField{"c", "d"}, TestField{"a", "b"}));
}

TEST(Hpack, TooManyFieldsAreRefused) {
  HpackDecoder decoder;
  EXPECT_EQ(decode(decoder, hex("8282"), {1 << 20, 2}).error, HpackError::kNone);
  EXPECT_EQ(decode(decoder, hex("828282"), {1 << 20, 2}).error, HpackError::kTooLarge);
}

// A few bytes that stand for many: one entry of 4 000 bytes, referred to by each byte that follows.
TEST(Hpack, ABombMeetsTheLimitOfTheDecodedSize) {
  HpackDecoder decoder;
  Bytes block = {0x40, 0x01, 'a', 0x7f, 0xa1, 0x1e};  // 127 + 0x21 + (0x1e << 7) = 4000
  block.insert(block.end(), 4000, 'b');
  block.insert(block.end(), 12'000, 0xbe);
  HeaderList list;
  EXPECT_EQ(decoder.decode(block, list, HeaderLimits{}), HpackError::kTooLarge);
  EXPECT_LE(list.list_size(), HeaderLimits{}.list_size);
  EXPECT_LE(list.capacity(), 3 * HeaderLimits{}.list_size);
  // Fields without content count too.
  HpackDecoder fresh;
  EXPECT_EQ(decode(fresh, Bytes(3000, 0x82), {64 * 1024, 10'000}).error, HpackError::kTooLarge);
}

// --- the encoder

TEST(Hpack, TheEncoderRefersToTheStaticTable) {
  EXPECT_EQ(encode({{":method", "GET"}, {":status", "500"}}), Bytes({0x82, 0x8e}));
  EXPECT_EQ(encode({{":path", "/x"}}), Bytes({0x04, 0x02, '/', 'x'}));
  EXPECT_EQ(encode({{":status", "418"}}), Bytes({0x08, 0x03, '4', '1', '8'}));
  EXPECT_EQ(encode({{"via", "x"}}), Bytes({0x0f, 0x2d, 0x01, 'x'}));
}

TEST(Hpack, SensitiveFieldsAreWrittenAsNeverIndexed) {
  EXPECT_EQ(encode({{":path", "/", true}}), Bytes({0x14, 0x01, '/'}));
  EXPECT_EQ(encode({{"x", "y", true}}), Bytes({0x10, 0x01, 'x', 0x01, 'y'}));
}

}  // namespace
}  // namespace sluice::l7
