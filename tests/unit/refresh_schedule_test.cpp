#include "lb/l7/refresh_schedule.h"

#include <gtest/gtest.h>

#include <set>

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr RefreshSettings kSettings{5s, 300s, 1s, 30s};

/// The least and the most of many waits.
template <typename Wait>
std::pair<std::chrono::nanoseconds, std::chrono::nanoseconds> range_of(Wait wait) {
  Random random(7);
  std::pair<std::chrono::nanoseconds, std::chrono::nanoseconds> range{std::chrono::nanoseconds::max(), 0ns};
  for (int i = 0; i < 2000; ++i) {
    const std::chrono::nanoseconds drawn = wait(random);
    range = {std::min(range.first, drawn), std::max(range.second, drawn)};
  }
  return range;
}

TEST(RefreshSchedule, AnAnswerIsGoodForItsTimeToLiveAndAtMostATenthMore) {
  const auto [least, most] = range_of([](Random& random) { return refresh_wait(kSettings, 60s, random); });
  EXPECT_GE(least, 60s);
  EXPECT_LT(least, 60s + 100ms);
  EXPECT_LE(most, 66s);
  EXPECT_GT(most, 66s - 100ms);
}

TEST(RefreshSchedule, BoundsHoldWhateverTheTimeToLive) {
  for (const std::chrono::seconds ttl : {0s, 1s, 4s}) {
    const auto [least, most] = range_of([&](Random& random) { return refresh_wait(kSettings, ttl, random); });
    EXPECT_GE(least, 5s);
    EXPECT_LE(most, 5500ms);
  }
  for (const std::chrono::seconds ttl : {301s, 86'400s, std::chrono::seconds(0x7fffffff)}) {
    const auto [least, most] = range_of([&](Random& random) { return refresh_wait(kSettings, ttl, random); });
    EXPECT_GE(least, 300s);
    EXPECT_LE(most, 330s);
  }
}

TEST(RefreshSchedule, EqualBoundsAreAFixedRhythm) {
  Random random(1);
  const RefreshSettings fixed{2s, 2s, 1s, 30s};
  EXPECT_GE(refresh_wait(fixed, 3600s, random), 2s);
  EXPECT_LE(refresh_wait(fixed, 3600s, random), 2200ms);
}

TEST(RefreshSchedule, FailuresWaitTwiceAsLongEachTimeUpToABound) {
  const auto wait = [](uint32_t failures) {
    return range_of([=](Random& random) { return failure_wait(kSettings, failures, random); });
  };
  EXPECT_GE(wait(1).first, 500ms);
  EXPECT_LE(wait(1).second, 1s);
  EXPECT_GE(wait(3).first, 2s);
  EXPECT_LE(wait(3).second, 4s);
  EXPECT_GT(wait(3).second, 3900ms);
  for (const uint32_t many : {6u, 100u, 4'000'000'000u}) {
    EXPECT_GE(wait(many).first, 15s);
    EXPECT_LE(wait(many).second, 30s);
  }
}

TEST(RefreshSchedule, ProxiesThatStartTogetherDoNotAskTogether) {
  std::set<std::chrono::nanoseconds> waits;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    Random random(seed);
    waits.insert(refresh_wait(kSettings, 30s, random));
  }
  EXPECT_GT(waits.size(), 95u);
}

}  // namespace
}  // namespace sluice
