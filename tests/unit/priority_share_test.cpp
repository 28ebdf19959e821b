#include "lb/l7/priority_share.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sluice {
namespace {

struct Case {
  std::string what;
  std::vector<LevelHealth> levels;
  uint32_t panic_percent;
  std::vector<double> shares;
  std::vector<bool> panic;
};

// With 1.4 a level carries everything while 72 % of it are available.
const std::vector<Case> kCases = {
    {"no levels", {}, 50, {}, {}},
    {"all available: the first has everything", {{10, 10}, {10, 10}}, 50, {1, 0}, {false, false}},
    {"72 of 100 still carry everything", {{100, 72}, {100, 100}}, 50, {1, 0}, {false, false}},
    {"71 of 100 spill what is above 1.4 x 71 %", {{100, 71}, {100, 100}}, 50, {0.994, 0.006}, {false, false}},
    {"half of it: 70 %", {{10, 5}, {10, 10}}, 50, {0.7, 0.3}, {false, false}},
    {"a quarter of it, the rest is carried below: no panic",
     {{4, 1}, {4, 4}},
     50,
     {0.35, 0.65},
     {false, false}},
    {"three levels", {{100, 25}, {100, 25}, {100, 100}}, 50, {0.35, 0.35, 0.3}, {false, false, false}},
    {"an empty first level", {{0, 0}, {3, 3}}, 50, {0, 1}, {false, false}},
    {"first level all gone", {{3, 0}, {3, 3}}, 50, {0, 1}, {false, false}},
    {"not enough in all: in proportion to what each carries",
     {{100, 50}, {100, 10}},
     0,
     {0.7 / 0.84, 0.14 / 0.84},
     {false, false}},
    {"not enough in all: the level below its threshold panics",
     {{100, 50}, {100, 10}},
     50,
     {0.7 / 0.84, 0.14 / 0.84},
     {false, true}},
    {"all levels in panic share by size", {{10, 3}, {30, 3}}, 50, {0.25, 0.75}, {true, true}},
    {"everything gone: all are used", {{10, 0}, {30, 0}}, 50, {0.25, 0.75}, {true, true}},
    {"everything gone, no panic wanted: nobody", {{10, 0}, {30, 0}}, 0, {0, 0}, {false, false}},
    {"the threshold itself is no panic", {{10, 5}}, 50, {1}, {false}},
    {"just below it is", {{100, 49}}, 50, {1}, {true}},
    {"a drain is no sign of a broken check", {{10, 4, 6}}, 50, {1}, {false}},
    {"but its capacity is gone", {{10, 4, 6}, {10, 10}}, 50, {0.56, 0.44}, {false, false}},
    {"all drained: nobody", {{10, 0, 10}}, 50, {0}, {false}},
};

TEST(PriorityShare, SpillsOverByTheArithmetic) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.what);
    const auto shares = share_levels(c.levels, 1.4, c.panic_percent);
    ASSERT_EQ(shares.size(), c.shares.size());
    for (size_t i = 0; i < shares.size(); ++i) {
      EXPECT_NEAR(shares[i].share, c.shares[i], 1e-9) << "level " << i;
      EXPECT_EQ(shares[i].panic, c.panic[i]) << "level " << i;
    }
  }
}

TEST(PriorityShare, IsAlwaysAWhole) {
  for (uint32_t a = 0; a <= 20; ++a) {
    for (uint32_t b = 0; b <= 20; ++b) {
      const LevelHealth levels[] = {{20, a}, {20, b}};
      const auto shares = share_levels(levels, 1.4, 30);
      EXPECT_NEAR(shares[0].share + shares[1].share, 1.0, 1e-9) << a << ' ' << b;
      EXPECT_GE(shares[1].share, 0) << a << ' ' << b;
    }
  }
}

}  // namespace
}  // namespace sluice
