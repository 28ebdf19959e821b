#include "dataplane/l7/byte_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "lb/l7/random.h"

namespace sluice::l7 {
namespace {

std::string content(const ByteQueue& queue) {
  std::vector<iovec> pieces(100);
  const int count = queue.pieces(pieces);
  std::string bytes;
  for (int i = 0; i < count; ++i) {
    EXPECT_GT(pieces[static_cast<size_t>(i)].iov_len, 0u);
    bytes.append(static_cast<const char*>(pieces[static_cast<size_t>(i)].iov_base),
                 pieces[static_cast<size_t>(i)].iov_len);
  }
  return bytes;
}

std::span<const uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

void use_at_once(ByteQueue& queue, size_t chunks) {
  queue.append(std::vector<uint8_t>(chunks * Chunk::kBytes));
  queue.clear();
}

TEST(ByteQueue, GivesBytesBackInOrderWhateverThePieces) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    Random random(seed);
    ChunkPool pool;
    ByteQueue queue(pool);
    std::string expected;
    for (int step = 0; step < 300; ++step) {
      switch (random.below(3)) {
        case 0: {
          std::string text(random.below(2 * Chunk::kBytes), ' ');
          for (char& c : text) c = static_cast<char>(random());
          queue.append(bytes_of(text));
          expected += text;
          break;
        }
        case 1: {
          const size_t room = 1 + random.below(random.below(8) == 0 ? Chunk::kBytes : 100);
          uint8_t* at = queue.reserve(room);
          EXPECT_GE(queue.room(), room);
          const size_t used = random.below(room + 1);
          for (size_t i = 0; i < used; ++i) {
            at[i] = static_cast<uint8_t>(random());
            expected.push_back(static_cast<char>(at[i]));
          }
          queue.commit(used);
          break;
        }
        default: {
          const size_t gone = random.below(4) == 0 ? expected.size() : random.below(expected.size() + 1);
          queue.consume(gone);
          expected.erase(0, gone);
        }
      }
      ASSERT_EQ(queue.size(), expected.size());
      ASSERT_EQ(queue.empty(), expected.empty());
      ASSERT_EQ(content(queue), expected) << "seed " << seed << " step " << step;
      const auto front = queue.front();
      ASSERT_EQ(front.empty(), expected.empty());
      ASSERT_TRUE(std::equal(front.begin(), front.end(), expected.begin(),
                             [](uint8_t a, char b) { return a == static_cast<uint8_t>(b); }));
    }
  }
}

TEST(ByteQueue, AnEmptyQueueHoldsNoChunk) {
  ChunkPool pool;
  ByteQueue queue(pool);
  EXPECT_EQ(pool.in_use(), 0u);
  EXPECT_EQ(queue.room(), 0u);
  queue.append(bytes_of(std::string(3 * Chunk::kBytes, 'x')));
  EXPECT_EQ(pool.in_use(), 3u);
  queue.consume(Chunk::kBytes);
  EXPECT_EQ(pool.in_use(), 2u);
  queue.consume(Chunk::kBytes - 1);
  EXPECT_EQ(pool.in_use(), 2u);
  queue.consume(Chunk::kBytes + 1);
  EXPECT_EQ(pool.in_use(), 0u);
  queue.append(bytes_of("x"));
  queue.clear();
  EXPECT_EQ(pool.in_use(), 0u);
}

TEST(ByteQueue, AReservationThatIsNotUsedLeavesNoHole) {
  ChunkPool pool;
  ByteQueue queue(pool);
  queue.append(bytes_of(std::string(Chunk::kBytes - 10, 'a')));
  queue.reserve(100);  // in a second chunk
  queue.append(bytes_of("b"));
  EXPECT_EQ(content(queue), std::string(Chunk::kBytes - 10, 'a') + "b");
  queue.consume(Chunk::kBytes - 10);
  EXPECT_EQ(queue.front().size(), 1u);
}

TEST(ByteQueue, SaysAsManyPiecesAsAreAskedFor) {
  ChunkPool pool;
  ByteQueue queue(pool);
  queue.append(bytes_of(std::string(3 * Chunk::kBytes, 'x')));
  std::vector<iovec> two(2);
  EXPECT_EQ(queue.pieces(two), 2);
}

TEST(ByteQueue, ChunksAreUsedAgain) {
  ChunkPool pool;
  const uint8_t* first = nullptr;
  {
    ByteQueue queue(pool);
    queue.append(bytes_of("x"));
    first = queue.front().data();
  }
  EXPECT_EQ(pool.in_use(), 0u) << "a queue that ends gives its chunks back";
  ByteQueue queue(pool);
  queue.append(bytes_of("y"));
  EXPECT_EQ(queue.front().data(), first);
  EXPECT_EQ(content(queue), "y");
}

TEST(ByteQueue, ChunksThatNobodyHasNeededForAWhileGoBack) {
  ChunkPool pool;
  ByteQueue queue(pool);
  use_at_once(queue, 10);
  pool.trim_unneeded();
  EXPECT_EQ(pool.kept_bytes(), 10 * sizeof(Chunk));
  use_at_once(queue, 3);
  use_at_once(queue, 1);
  pool.trim_unneeded();
  EXPECT_EQ(pool.kept_bytes(), 3 * sizeof(Chunk));
  use_at_once(queue, 3);
  pool.trim_unneeded();
  EXPECT_EQ(pool.kept_bytes(), 3 * sizeof(Chunk));
  pool.trim_unneeded();
  EXPECT_EQ(pool.kept_bytes(), 0u);
}

TEST(ByteQueue, ChunksThatHaveGoneBackAreNotGivenBackAgain) {
  ChunkPool pool;
  ByteQueue queue(pool);
  use_at_once(queue, 10);
  pool.trim_unneeded();
  pool.trim();
  pool.trim_unneeded();
  EXPECT_EQ(pool.kept_bytes(), 0u);
  use_at_once(queue, 2);
  pool.trim_unneeded();
  EXPECT_EQ(pool.kept_bytes(), 2 * sizeof(Chunk));
}

}  // namespace
}  // namespace sluice::l7
