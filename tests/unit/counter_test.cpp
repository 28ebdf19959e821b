#include "lb/counter.h"

#include <gtest/gtest.h>

#include <thread>

namespace sluice {
namespace {

TEST(Counter, AddsAndSubtracts) {
  Counter counter;
  EXPECT_EQ(counter.read(), 0u);
  counter.add(5);
  counter.add(uint64_t{1} << 40);
  counter.subtract(3);
  EXPECT_EQ(counter.read(), (uint64_t{1} << 40) + 2);
  counter.subtract(counter.read());
  EXPECT_EQ(counter.read(), 0u);
}

TEST(Counter, WrapsAsTheUnsignedNumberItIs) {
  Counter counter;
  counter.subtract(1);
  EXPECT_EQ(counter.read(), UINT64_MAX);
  counter.add(2);
  EXPECT_EQ(counter.read(), 1u);
}

TEST(Counter, AReaderInAnotherThreadNeverSeesHalfAWord) {
  // Each add changes both halves of the word, so a torn read would show two different ones.
  constexpr uint64_t kBoth = (uint64_t{1} << 32) + 1;
  constexpr uint64_t kAdds = 2'000'000;
  Counter counter;
  std::thread writer([&] {
    for (uint64_t i = 0; i < kAdds; ++i) counter.add(kBoth);
  });
  uint64_t last = 0;
  bool torn = false, backwards = false;
  while (last != kAdds * kBoth) {
    const uint64_t now = counter.read();
    torn |= now >> 32 != (now & 0xffffffff);
    backwards |= now < last;
    last = now;
  }
  writer.join();
  EXPECT_FALSE(torn);
  EXPECT_FALSE(backwards);
}

TEST(TrafficCounter, CountsPacketsAndBytesApart) {
  TrafficCounter traffic;
  traffic.add(2, 3000);
  traffic.add(1, 64);
  EXPECT_EQ(traffic.packets.read(), 3u);
  EXPECT_EQ(traffic.bytes.read(), 3064u);
}

}  // namespace
}  // namespace sluice
