#include "dataplane/l7/stream_table.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "lb/l7/random.h"

namespace sluice::l7 {
namespace {

struct Stream {
  uint32_t id = 0;
};

void expect_same(const StreamTable<Stream>& table, const std::map<uint32_t, Stream*>& expected) {
  ASSERT_EQ(table.size(), expected.size());
  size_t visited = 0;
  table.for_each([&](Stream& stream) {
    ++visited;
    const auto found = expected.find(stream.id);
    ASSERT_NE(found, expected.end()) << stream.id;
    EXPECT_EQ(found->second, &stream);
  });
  EXPECT_EQ(visited, expected.size());
  for (const auto& [id, stream] : expected) ASSERT_EQ(table.find(id), stream) << id;
}

TEST(StreamTable, AnEmptyOneFindsNothingAndHoldsNoMemory) {
  const StreamTable<Stream> table;
  EXPECT_EQ(table.find(1), nullptr);
  EXPECT_EQ(table.size(), 0u);
  EXPECT_EQ(table.capacity(), 0u);
}

// As a connection does it: numbers rise, streams end in any order.
TEST(StreamTable, AgreesWithAMapForRisingNumbers) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Random random(seed);
    StreamTable<Stream> table;
    std::map<uint32_t, Stream*> expected;
    std::deque<Stream> streams;
    uint32_t next = 1;
    for (int step = 0; step < 3000; ++step) {
      if (expected.empty() || random.below(100) < 52) {
        Stream& stream = streams.emplace_back(Stream{next});
        next += 2 * static_cast<uint32_t>(1 + random.below(3));
        table.insert(stream);
        expected[stream.id] = &stream;
      } else {
        auto at = expected.begin();
        std::advance(at, static_cast<ptrdiff_t>(random.below(expected.size())));
        const uint32_t id = at->first;
        table.erase(id);
        expected.erase(at);
        ASSERT_EQ(table.find(id), nullptr);
      }
      ASSERT_EQ(table.find(next), nullptr);
      if (step % 50 == 0) expect_same(table, expected);
    }
    expect_same(table, expected);
  }
}

// Numbers that all want the same slot, and runs that go round the table's end.
TEST(StreamTable, AgreesWithAMapWhenAllCollide) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Random random(seed);
    StreamTable<Stream> table;
    std::map<uint32_t, Stream*> expected;
    std::deque<Stream> streams;
    for (int step = 0; step < 200; ++step) {
      // Homes 13..15 and 0..1 of the sixteen first slots.
      const auto home = static_cast<uint32_t>((13 + random.below(5)) % 16);
      const auto id = static_cast<uint32_t>(1 + 2 * (home + 16 * random.below(4)));
      if (expected.contains(id)) {
        table.erase(id);
        expected.erase(id);
      } else if (expected.size() < 7) {
        Stream& stream = streams.emplace_back(Stream{id});
        table.insert(stream);
        expected[id] = &stream;
      }
      expect_same(table, expected);
    }
    EXPECT_EQ(table.capacity(), 16 * sizeof(Stream*)) << "it was not to grow here";
  }
}

TEST(StreamTable, GivesBackTheMemoryOfManyStreams) {
  StreamTable<Stream> table;
  std::deque<Stream> streams;
  for (uint32_t i = 0; i < 1000; ++i) table.insert(streams.emplace_back(Stream{2 * i + 1}));
  EXPECT_GE(table.capacity(), 2000 * sizeof(Stream*));
  for (const Stream& stream : streams) table.erase(stream.id);
  EXPECT_EQ(table.capacity(), 0u);
  table.insert(streams.front());
  EXPECT_EQ(table.find(1), &streams.front());
}

}  // namespace
}  // namespace sluice::l7
