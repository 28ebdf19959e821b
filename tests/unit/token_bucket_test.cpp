#include "lb/l7/token_bucket.h"

#include <gtest/gtest.h>

#include <latch>
#include <thread>
#include <vector>

#include "lb/l7/random.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
const TokenBucket::Time kStart{1000s};

int take_all(TokenBucket& bucket, TokenBucket::Time now) {
  int count = 0;
  while (bucket.try_take(now)) ++count;
  return count;
}

TEST(TokenBucket, GivesItsBurstAndThenItsRate) {
  TokenBucket bucket({10, 5});
  EXPECT_EQ(bucket.available(kStart), 5u);
  EXPECT_EQ(take_all(bucket, kStart), 5);
  EXPECT_EQ(bucket.available(kStart), 0u);
  EXPECT_EQ(take_all(bucket, kStart + 99ms), 0);
  EXPECT_EQ(take_all(bucket, kStart + 100ms), 1);
  EXPECT_EQ(take_all(bucket, kStart + 250ms), 1) << "half a token is kept";
  EXPECT_EQ(take_all(bucket, kStart + 300ms), 1);
  EXPECT_EQ(take_all(bucket, kStart + 1h), 5) << "never more than the burst";
}

TEST(TokenBucket, SaysHowLongToWait) {
  TokenBucket bucket({4, 2});
  EXPECT_EQ(bucket.wait(kStart), 0ns);
  take_all(bucket, kStart);
  EXPECT_EQ(bucket.wait(kStart), 250ms);
  EXPECT_EQ(bucket.wait(kStart + 100ms), 150ms);
  EXPECT_EQ(bucket.wait(kStart + 250ms), 0ns);
  EXPECT_FALSE(bucket.try_take(kStart + 249ms));
  EXPECT_TRUE(bucket.try_take(kStart + 250ms));
}

TEST(TokenBucket, KeepsItsRateUnderLoad) {
  TokenBucket bucket({1000, 10});
  Random random(1);
  TokenBucket::Time now = kStart;
  int taken = 0;
  while (now < kStart + 10s) {
    now += std::chrono::microseconds(random.below(400));
    taken += bucket.try_take(now) ? 1 : 0;
  }
  EXPECT_NEAR(taken, 10'010, 2);
}

TEST(TokenBucket, TheLargestRateIsExact) {
  TokenBucket bucket({kMaxRatePerSecond, 1000});
  EXPECT_EQ(take_all(bucket, kStart), 1000);
  EXPECT_EQ(take_all(bucket, kStart + 500us), 500);
}

TEST(TokenBucket, GivesNoTokenTwiceToManyThreads) {
  TokenBucket bucket({1, 400'000});
  std::latch all_there(4);
  std::atomic<int> taken{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        all_there.arrive_and_wait();
        taken += take_all(bucket, kStart);
      });
    }
  }
  EXPECT_EQ(taken, 400'000);
}

}  // namespace
}  // namespace sluice
