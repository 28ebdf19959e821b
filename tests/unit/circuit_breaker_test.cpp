#include "lb/l7/circuit_breaker.h"

#include <gtest/gtest.h>

#include <latch>
#include <thread>
#include <vector>

namespace sluice {
namespace {

TEST(CircuitBreaker, RefusesAboveItsLimit) {
  LimitedCount count;
  EXPECT_FALSE(count.try_take(0));
  EXPECT_TRUE(count.try_take(2));
  EXPECT_TRUE(count.try_take(2));
  EXPECT_FALSE(count.try_take(2));
  EXPECT_TRUE(count.try_take(3)) << "limits may change";
  EXPECT_EQ(count.count(), 3u);
  EXPECT_EQ(count.refused(), 2u);
  count.give_back();
  count.give_back();
  EXPECT_TRUE(count.try_take(2));
  EXPECT_FALSE(count.try_take(2));
}

TEST(CircuitBreaker, MayBeTakenFromWhateverItsLimit) {
  LimitedCount count;
  EXPECT_TRUE(count.try_take(1));
  count.take();
  EXPECT_EQ(count.count(), 2u);
  EXPECT_EQ(count.refused(), 0u);
  count.give_back();
  EXPECT_FALSE(count.try_take(1));
}

// Never above the limit at any moment, and nothing lost: in the end all is given back.
TEST(CircuitBreaker, IsExactOverManyThreads) {
  LimitedCount count;
  std::atomic<uint32_t> inside{0};
  std::atomic<uint32_t> most{0};
  std::atomic<uint64_t> taken{0};
  constexpr uint32_t kLimit = 2;
  constexpr int kTimes = 200'000;
  std::latch all_there(4);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        all_there.arrive_and_wait();
        for (int i = 0; i < kTimes; ++i) {
          if (!count.try_take(kLimit)) continue;
          const uint32_t now = inside.fetch_add(1) + 1;
          uint32_t before = most.load();
          while (before < now && !most.compare_exchange_weak(before, now)) {
          }
          inside.fetch_sub(1);
          taken.fetch_add(1);
          count.give_back();
        }
      });
    }
  }
  EXPECT_LE(most, kLimit);
  EXPECT_EQ(count.count(), 0u);
  EXPECT_EQ(count.refused() + taken, 4u * kTimes);
}

TEST(RetryBudget, IsAPartOfWhatIsUnderWay) {
  EXPECT_EQ(retry_limit({20, 3}, 0), 3u);
  EXPECT_EQ(retry_limit({20, 3}, 15), 3u);
  EXPECT_EQ(retry_limit({20, 3}, 20), 4u);
  EXPECT_EQ(retry_limit({20, 3}, 1000), 200u);
  EXPECT_EQ(retry_limit({0, 0}, 1000), 0u);
  EXPECT_EQ(retry_limit({100, 0}, 4'000'000'000u), 4'000'000'000u);
}

TEST(RetryBudget, BoundsRetriesWhenEverythingFails) {
  CircuitBreakers breakers;
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(breakers.requests.try_take(1000));
  int retries = 0;
  for (int i = 0; i < 100; ++i) retries += breakers.try_retry({20, 3}) ? 1 : 0;
  EXPECT_EQ(retries, 20);
  breakers.retries.give_back();
  EXPECT_TRUE(breakers.try_retry({20, 3}));
  EXPECT_FALSE(breakers.try_retry({20, 3}));
}

}  // namespace
}  // namespace sluice
