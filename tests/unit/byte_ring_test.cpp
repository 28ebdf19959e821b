#include "dataplane/l7/byte_ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/l7/ring_bell.h"
#include "lb/l7/random.h"

namespace sluice::l7 {
namespace {

std::span<const uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::optional<std::string> next_of(ByteRing& ring) {
  const auto message = ring.next();
  if (!message) return std::nullopt;
  return std::string(message->begin(), message->end());
}

/// A message whose bytes follow from its number, so that one can be checked alone.
std::vector<uint8_t> numbered(uint64_t number, size_t size) {
  std::vector<uint8_t> message(std::max(size, sizeof(number)));
  std::memcpy(message.data(), &number, sizeof(number));
  for (size_t i = sizeof(number); i < message.size(); ++i) message[i] = static_cast<uint8_t>(number * 31 + i);
  return message;
}

TEST(ByteRing, GivesMessagesInTheirOrder) {
  ByteRing ring(4096);
  EXPECT_TRUE(ring.empty());
  EXPECT_EQ(ring.next(), std::nullopt);
  EXPECT_TRUE(ring.push(bytes_of("a")));
  EXPECT_TRUE(ring.push(bytes_of("longer than a unit of the ring")));
  EXPECT_FALSE(ring.empty());
  EXPECT_EQ(next_of(ring), "a");
  EXPECT_EQ(next_of(ring), "longer than a unit of the ring");
  EXPECT_EQ(next_of(ring), std::nullopt);
  EXPECT_FALSE(ring.empty()) << "nothing was released yet";
  ring.release();
  EXPECT_TRUE(ring.empty());
}

TEST(ByteRing, TakesAPowerOfTwoOfMemory) {
  EXPECT_EQ(ByteRing(1).capacity(), ByteRing::kMinBytes);
  EXPECT_EQ(ByteRing(4097).capacity(), 8192u);
}

TEST(ByteRing, OnlyWhatWasCommittedIsThere) {
  ByteRing ring(4096);
  const auto room = ring.reserve(100);
  ASSERT_EQ(room.size(), 100u);
  EXPECT_EQ(ring.next(), std::nullopt);
  room[0] = 'x';
  room[1] = 'y';
  ring.commit(2);
  EXPECT_EQ(next_of(ring), "xy");
  // A reservation that is not committed leaves nothing behind.
  ASSERT_FALSE(ring.reserve(2000).empty());
  ASSERT_TRUE(ring.push(bytes_of("z")));
  EXPECT_EQ(next_of(ring), "z");
  EXPECT_EQ(next_of(ring), std::nullopt);
}

TEST(ByteRing, AFullOneDropsAndCountsAndKeepsWhatItHas) {
  ByteRing ring(4096);
  const std::string message(100, 'm');
  size_t taken = 0;
  while (ring.push(bytes_of(message))) ++taken;
  EXPECT_EQ(taken, 4096u / 112);
  EXPECT_EQ(ring.dropped(), 1u);
  // Read is not yet free.
  EXPECT_EQ(next_of(ring), message);
  EXPECT_FALSE(ring.push(bytes_of(message)));
  EXPECT_EQ(ring.dropped(), 2u);
  ring.release();
  EXPECT_TRUE(ring.push(bytes_of(message)));
  size_t left = 0;
  while (const auto text = next_of(ring)) {
    EXPECT_EQ(*text, message);
    ++left;
  }
  EXPECT_EQ(left, taken);
}

TEST(ByteRing, TheLargestMessageFitsWhereverTheLastOneEnded) {
  ByteRing ring(4096);
  const std::string largest(ring.max_message(), 'l');
  for (size_t before = 1; before < ring.max_message(); before += 7) {
    ASSERT_TRUE(ring.push(bytes_of(std::string(before, 's'))));
    ASSERT_TRUE(next_of(ring));
    ring.release();
    ASSERT_TRUE(ring.push(bytes_of(largest))) << before;
    ASSERT_EQ(next_of(ring), largest) << before;
    ring.release();
  }
  EXPECT_EQ(ring.dropped(), 0u);
  EXPECT_FALSE(ring.push(bytes_of(largest + "l"))) << "larger than max_message()";
  EXPECT_EQ(ring.dropped(), 1u);
}

TEST(ByteRing, AgreesWithAQueueForMessagesOfAnySize) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Random random(seed);
    ByteRing ring(4096);
    std::deque<std::vector<uint8_t>> expected;
    size_t unreleased = 0;
    for (uint64_t number = 0; number < 5000; ++number) {
      const auto message = numbered(number, 1 + random.below(random.below(4) == 0 ? 2000 : 60));
      if (ring.push(message)) expected.push_back(message);
      for (uint64_t reads = random.below(4); reads > 0 && !expected.empty(); --reads) {
        const auto got = ring.next();
        ASSERT_TRUE(got);
        ASSERT_TRUE(std::equal(got->begin(), got->end(), expected.front().begin(), expected.front().end()));
        expected.pop_front();
        ++unreleased;
      }
      if (random.below(3) == 0) ring.release();
    }
    EXPECT_GT(unreleased, 1000u);
  }
}

// The consumer sleeps whenever it has read all: a bell that is not heard would stop this test.
TEST(ByteRing, TwoThreadsLoseNothingButWhatWasCounted) {
  constexpr uint64_t kMessages = 200'000;
  constexpr std::chrono::minutes kForEver{1};
  ByteRing ring(16 * 1024);
  RingBell bell;
  ASSERT_TRUE(bell.good());
  std::atomic<bool> over{false};
  uint64_t received = 0;
  uint64_t broken = 0;
  std::thread consumer([&] {
    uint64_t last = 0;
    while (true) {
      const bool last_round = over.load(std::memory_order_acquire);
      while (const auto message = ring.next()) {
        uint64_t number;
        std::memcpy(&number, message->data(), sizeof(number));
        const auto expected = numbered(number, message->size());
        if (number <= last || !std::equal(message->begin(), message->end(), expected.begin())) ++broken;
        last = number;
        ++received;
      }
      ring.release();
      if (last_round) return;
      bell.sleep(kForEver, [&] { return ring.empty() && !over.load(std::memory_order_acquire); });
    }
  });
  Random random(7);
  uint64_t pushed = 0;
  for (uint64_t number = 1; number <= kMessages; ++number) {
    if (ring.push(numbered(number, 8 + random.below(200)))) ++pushed;
    bell.ring();
  }
  over.store(true, std::memory_order_release);
  bell.ring();
  consumer.join();
  EXPECT_EQ(received, pushed);
  EXPECT_EQ(pushed + ring.dropped(), kMessages);
  EXPECT_EQ(broken, 0u);
}

TEST(RingBell, WhoHasSomethingToReadDoesNotSleep) {
  RingBell bell;
  bell.sleep(std::chrono::minutes(10), [] { return false; });
}

TEST(RingBell, RungDuringTheLastLookItEndsTheSleep) {
  RingBell bell;
  bell.sleep(std::chrono::minutes(10), [&] {
    bell.ring();
    return true;
  });
}

TEST(RingBell, NobodySleepsItStaysSilent) {
  RingBell bell;
  bell.ring();
  const auto before = std::chrono::steady_clock::now();
  bell.sleep(std::chrono::milliseconds(20), [] { return true; });
  EXPECT_GE(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(19))
      << "an earlier ring cut the sleep short";
}

}  // namespace
}  // namespace sluice::l7
