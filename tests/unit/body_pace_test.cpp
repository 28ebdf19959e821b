#include "lb/l7/body_pace.h"

#include <gtest/gtest.h>

#include <functional>

namespace sluice {
namespace {

using namespace std::chrono_literals;
using Time = BodyPace::Time;
const Time kStart{1000s};

/// When a body that has brought `received(t)` bytes by `t` after its beginning is given up; 0s: not within
/// `until`.
std::chrono::milliseconds ends(std::chrono::milliseconds allowed, std::chrono::milliseconds until,
                               const std::function<uint64_t(std::chrono::milliseconds)>& received,
                               const std::function<bool(std::chrono::milliseconds)>& may_send) {
  BodyPace pace;
  pace.begin(kStart, allowed);
  while (pace.due() < kStart + until) {
    const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(pace.due() - kStart);
    if (pace.look(pace.due(), received(passed), may_send(passed))) return passed;
  }
  return 0ms;
}

bool always(std::chrono::milliseconds) {
  return true;
}

TEST(BodyPace, NothingSentHasTheTimeAndNoMore) {
  const auto nothing = [](auto) { return uint64_t{0}; };
  EXPECT_EQ(ends(60s, 1h, nothing, always), 75s) << "at the first look behind it";
  EXPECT_EQ(ends(1s, 1h, nothing, always), 1250ms);
}

TEST(BodyPace, AByteNowAndThenBuysNothing) {
  const auto byte_a_second = [](auto passed) { return static_cast<uint64_t>(passed / 1s); };
  EXPECT_EQ(ends(60s, 24h, byte_a_second, always), 75s);
}

TEST(BodyPace, ASlowLineIsServedForAsLongAsItTakes) {
  const auto slow = [](auto passed) {
    return BodyPace::kBytesPerSecond * static_cast<uint64_t>(passed / 1s);
  };
  EXPECT_EQ(ends(60s, 24h, slow, always), 0ms);
  const auto half = [&](auto passed) { return slow(passed) / 2; };
  EXPECT_EQ(ends(60s, 24h, half, always), 135s) << "60 s, and half of what has passed";
}

TEST(BodyPace, WhatCameAtTheBeginningCountsToTheEnd) {
  const auto burst = [](auto) { return uint64_t{25'000}; };
  EXPECT_EQ(ends(60s, 24h, burst, always), 165s) << "60 s, and 100 s at 250 bytes a second";
  for (const uint64_t huge : {~uint64_t{0}, ~uint64_t{0} / 1000 + 1})
    EXPECT_EQ(ends(
                  60s, 24h, [=](auto) { return huge; }, always),
              0ms)
        << huge;
}

TEST(BodyPace, AByteDecidesAtTheEdge) {
  // Of 1 s and what 500 bytes buy, 3 s, the twelfth look sees the end and the next one what is beyond.
  EXPECT_EQ(ends(
                1s, 1h, [](auto) { return uint64_t{500}; }, always),
            3250ms);
  EXPECT_EQ(ends(
                1s, 1h, [](auto) { return uint64_t{499}; }, always),
            3000ms);
}

TEST(BodyPace, TimeInWhichNothingMayBeSentIsNotTheClients) {
  const auto nothing = [](auto) { return uint64_t{0}; };
  EXPECT_EQ(ends(60s, 24h, nothing, [](auto) { return false; }), 0ms);
  EXPECT_EQ(ends(60s, 24h, nothing, [](auto passed) { return passed > 10min; }), 10min + 75s);
}

TEST(BodyPace, ALateLookIsNotTheClientsFault) {
  BodyPace pace;
  pace.begin(kStart, 60s);
  EXPECT_FALSE(pace.look(kStart + 1h, 0, true));
  EXPECT_EQ(pace.due(), kStart + 1h + 15s);
}

TEST(BodyPace, AShortTimeIsNotLookedAtAllTheTime) {
  BodyPace pace;
  pace.begin(kStart, 1ms);
  EXPECT_EQ(pace.due(), kStart + 10ms);
  EXPECT_TRUE(pace.look(pace.due(), 0, true));
}

TEST(BodyPace, EachBodyHasItsOwnTime) {
  BodyPace pace;
  pace.begin(kStart, 1s);
  for (int i = 0; i < 4; ++i) ASSERT_FALSE(pace.look(pace.due(), 0, true));
  pace.stop();
  pace.begin(kStart + 1h, 1s);
  EXPECT_EQ(pace.due(), kStart + 1h + 250ms);
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(pace.look(pace.due(), 0, true)) << i;
  EXPECT_TRUE(pace.look(pace.due(), 0, true));
}

TEST(BodyPace, WithoutATimeOrWhenStoppedItIsNeverLookedAt) {
  BodyPace pace;
  EXPECT_EQ(pace.due(), Time::max());
  pace.begin(kStart, 0ms);
  EXPECT_EQ(pace.due(), Time::max());
  pace.begin(kStart, 1s);
  pace.stop();
  EXPECT_EQ(pace.due(), Time::max());
}

}  // namespace
}  // namespace sluice
