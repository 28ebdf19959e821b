#include "lb/l7/retry_backoff.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

struct Seen {
  nanoseconds least = nanoseconds::max();
  nanoseconds most{0};
  double mean_ms = 0;
};

Seen see(const RetryBackoff& settings, uint32_t retry) {
  Random random(11);
  Seen seen;
  constexpr int kTimes = 20'000;
  for (int i = 0; i < kTimes; ++i) {
    const nanoseconds wait = retry_wait(settings, retry, random);
    seen.least = std::min(seen.least, wait);
    seen.most = std::max(seen.most, wait);
    seen.mean_ms += std::chrono::duration<double, std::milli>(wait).count() / kTimes;
  }
  return seen;
}

TEST(RetryBackoff, DoublesUpToItsMostAndIsAnywhereInIt) {
  const RetryBackoff settings{25ms, 250ms};
  const std::pair<uint32_t, nanoseconds> cases[] = {{1, 25ms},  {2, 50ms},  {3, 100ms},   {4, 200ms},
                                                    {5, 250ms}, {6, 250ms}, {1000, 250ms}};
  for (const auto& [retry, bound] : cases) {
    const Seen seen = see(settings, retry);
    EXPECT_LT(seen.most, bound) << retry;
    EXPECT_GT(seen.most, bound * 99 / 100) << retry;
    EXPECT_LT(seen.least, bound / 100) << retry;
    const double bound_ms = std::chrono::duration<double, std::milli>(bound).count();
    EXPECT_NEAR(seen.mean_ms, bound_ms / 2, bound_ms / 50) << retry;
  }
}

TEST(RetryBackoff, ZeroIsAtOnceAndHugeDoesNotOverflow) {
  EXPECT_EQ(see({0ms, 250ms}, 5).most, 0ns);
  EXPECT_EQ(see({25ms, 0ms}, 5).most, 0ns);
  EXPECT_LT(see({1ms, std::chrono::milliseconds(1000h)}, 4'000'000'000u).most, nanoseconds(1000h));
  EXPECT_GT(see({1ms, std::chrono::milliseconds(1000h)}, 4'000'000'000u).most, nanoseconds(990h));
}

}  // namespace
}  // namespace sluice
