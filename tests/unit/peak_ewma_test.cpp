#include "lb/l7/peak_ewma.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kDecay{10};
const PickTime kStart{seconds(1000)};

double ms(double nanoseconds) {
  return nanoseconds / 1e6;
}

PeakEwma seen(milliseconds first) {
  PeakEwma latency;
  latency.observe(first, false, kStart, kDecay);
  return latency;
}

TEST(PeakEwma, ItsFirstAnswerIsWhatItExpects) {
  PeakEwma latency;
  EXPECT_FALSE(latency.known());
  latency.observe(milliseconds(30), false, kStart, kDecay);
  EXPECT_TRUE(latency.known());
  EXPECT_NEAR(ms(latency.expected_ns(kStart, kDecay)), 30, 1e-9);
}

TEST(PeakEwma, BelievesAPeakAtOnceAndGoodNewsSlowly) {
  PeakEwma latency = seen(milliseconds(10));
  latency.observe(milliseconds(500), false, kStart, kDecay);
  EXPECT_NEAR(ms(latency.expected_ns(kStart, kDecay)), 500, 1e-9);
  // One decay time later, one good answer: e^-1 of the peak is left.
  latency.observe(milliseconds(10), false, kStart + kDecay, kDecay);
  EXPECT_NEAR(ms(latency.expected_ns(kStart + kDecay, kDecay)), 500 * 0.367879 + 10 * 0.632121, 1e-3);
}

TEST(PeakEwma, SettlesOnWhatItSees) {
  PeakEwma latency = seen(milliseconds(200));
  PickTime now = kStart;
  for (int i = 0; i < 1000; ++i) latency.observe(milliseconds(20), false, now += milliseconds(100), kDecay);
  EXPECT_NEAR(ms(latency.expected_ns(now, kDecay)), 20, 0.1);
}

TEST(PeakEwma, AFastFailureIsNoMerit) {
  PeakEwma latency = seen(milliseconds(50));
  PickTime now = kStart;
  for (int i = 0; i < 100; ++i) latency.observe(milliseconds(1), true, now += milliseconds(100), kDecay);
  EXPECT_NEAR(ms(latency.expected_ns(now, kDecay)), 50, 1e-9);
  latency.observe(milliseconds(80), true, now, kDecay);
  EXPECT_NEAR(ms(latency.expected_ns(now, kDecay)), 80, 1e-9);
}

TEST(PeakEwma, AnEndpointThatBeginsWithAFastFailureIsNotTheFastest) {
  PeakEwma latency;
  latency.observe(std::chrono::microseconds(50), true, kStart, kDecay);
  EXPECT_NEAR(ms(latency.expected_ns(kStart, kDecay)), 100, 1e-9);
  PeakEwma slower;
  slower.observe(seconds(3), true, kStart, kDecay);
  EXPECT_NEAR(ms(slower.expected_ns(kStart, kDecay)), 3000, 1e-9);
}

TEST(PeakEwma, FadesWhileNobodyAsks) {
  PeakEwma latency = seen(milliseconds(10));
  latency.observe(seconds(5), false, kStart, kDecay);
  EXPECT_LT(ms(latency.expected_ns(kStart + seconds(100), kDecay)), 1);
}

}  // namespace
}  // namespace sluice
