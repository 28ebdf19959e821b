#include "lb/l7/weighted_turns.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>
#include <string>

#include "lb/l7/random.h"

namespace sluice {
namespace {

class Line {
 public:
  explicit Line(std::vector<double> weights, uint64_t seed = 7) : weights_(std::move(weights)) {
    Random random(seed);
    for (uint32_t i = 0; i < weights_.size(); ++i)
      turns_.add(i, WeightedTurns::interval(weights_[i]), random.unit());
  }
  uint32_t next() {
    const auto turn = turns_.take();
    turns_.had(turn, WeightedTurns::interval(weights_[turn.member]));
    return turn.member;
  }
  WeightedTurns turns_;
  std::vector<double> weights_;
};

TEST(WeightedTurns, EqualWeightsAreRoundRobin) {
  Line line({1, 1, 1, 1, 1});
  std::vector<uint32_t> round;
  for (int i = 0; i < 5; ++i) round.push_back(line.next());
  for (int i = 0; i < 10'000; ++i) ASSERT_EQ(line.next(), round[static_cast<size_t>(i) % 5]) << i;
}

TEST(WeightedTurns, EveryRoundIsExact) {
  const std::vector<double> weights = {1, 2, 3, 5, 5, 9};
  Line line(weights);
  const int sum = 25;
  for (int round = 0; round < 200; ++round) {
    std::map<uint32_t, int> counts;
    for (int i = 0; i < sum; ++i) ++counts[line.next()];
    for (uint32_t m = 0; m < weights.size(); ++m) EXPECT_EQ(counts[m], weights[m]) << "round " << round;
  }
}

// The heavy one is never served many times in a row while others wait: that is what "smooth" says.
TEST(WeightedTurns, HeavyIsSpreadBetweenLight) {
  for (uint64_t seed = 1; seed < 20; ++seed) {
    Line line({5, 1, 1, 1, 1, 1}, seed);
    int in_a_row = 0;
    int longest = 0;
    for (int i = 0; i < 1000; ++i) {
      in_a_row = line.next() == 0 ? in_a_row + 1 : 0;
      longest = std::max(longest, in_a_row);
    }
    EXPECT_LE(longest, 5) << seed;
    EXPECT_GE(longest, 1) << seed;
  }
  Line even({3, 1, 1, 1});
  int longest = 0;
  int in_a_row = 0;
  for (int i = 0; i < 1000; ++i) {
    in_a_row = even.next() == 0 ? in_a_row + 1 : 0;
    longest = std::max(longest, in_a_row);
  }
  EXPECT_LE(longest, 3);
}

TEST(WeightedTurns, WhoIsPutBackStaysDue) {
  Line line({1, 1, 1});
  const auto first = line.turns_.take();
  line.turns_.put_back(first);
  EXPECT_EQ(line.next(), first.member);
  EXPECT_NE(line.next(), first.member);
}

TEST(WeightedTurns, ASuccessorGoesOnWhereItStopped) {
  const std::vector<double> weights = {4, 1, 2, 7};
  Line line(weights);
  for (int i = 0; i < 1234; ++i) line.next();
  Line successor({});
  successor.weights_ = weights;
  const auto interval = [&](uint32_t m) { return WeightedTurns::interval(weights[m]); };
  line.turns_.each_wait(interval,
                        [&](uint32_t m, double wait) { successor.turns_.add(m, interval(m), wait); });
  for (int i = 0; i < 100; ++i) EXPECT_EQ(successor.next(), line.next()) << i;
}

// Virtual time wraps around after 2^24 turns of weight 1; with the least weight, much sooner.
TEST(WeightedTurns, TimeMayWrapAround) {
  Line line({0.001, 0.001, 0.002});
  const int turns = 400'000;
  std::map<uint32_t, int> counts;
  for (int i = 0; i < turns; ++i) ++counts[line.next()];
  EXPECT_NEAR(counts[0], turns / 4, 2);
  EXPECT_NEAR(counts[1], turns / 4, 2);
  EXPECT_NEAR(counts[2], turns / 2, 2);
}

}  // namespace
}  // namespace sluice
