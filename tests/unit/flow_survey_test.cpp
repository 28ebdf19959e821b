#include "lb/flow_survey.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

namespace sluice {
namespace {

using testing::ElementsAre;

constexpr FlowTick kNow = 100;

/// A hash with this bucket and signature, as the layout of FlowBucket says.
uint64_t hash_of(uint32_t bucket, uint64_t signature) {
  return signature << 28 | bucket;
}

struct Fixture {
  explicit Fixture(uint32_t buckets = 64) : memory(buckets), table(memory) {}
  void add(BackendId backend, uint32_t flows, FlowTick seen = kNow) {
    for (uint32_t i = 0; i < flows; ++i, ++next) {
      const uint32_t bucket = next % table.bucket_count();
      table.insert(hash_of(bucket, next + 1), backend, seen);
    }
  }

  std::vector<FlowBucket> memory;
  FlowTable table;
  uint32_t next = 0;
};

/// Walks to the end, `step` buckets at a time; how many steps that took.
uint32_t walk(FlowSurvey& survey, const FlowTable& table, uint32_t step, FlowTick now = kNow) {
  uint32_t steps = 0;
  for (; survey.running(); ++steps) survey.advance(table, step, now);
  return steps;
}

TEST(FlowSurvey, CountsTheFlowsOfEachBackend) {
  Fixture f;
  f.add(1, 5);
  f.add(3, 70);
  for (const uint32_t step : {1u, 7u, 64u, 1000u}) {
    FlowSurvey survey;
    EXPECT_FALSE(survey.done());
    ASSERT_TRUE(survey.start({0, 10, 10, 10}));
    EXPECT_EQ(walk(survey, f.table, step), (64 + step - 1) / step);
    EXPECT_TRUE(survey.done());
    EXPECT_THAT(survey.flows(), ElementsAre(0, 5, 0, 70));
  }
}

TEST(FlowSurvey, ExpiredFlowsDoNotCount) {
  Fixture f;
  f.add(1, 3, kNow - 10);
  f.add(1, 4, kNow - 11);
  f.add(2, 2, kNow - 30);
  FlowSurvey survey;
  survey.start({0, 10, 30});
  walk(survey, f.table, 5);
  EXPECT_THAT(survey.flows(), ElementsAre(0, 3, 2));
}

TEST(FlowSurvey, FlowsAgeOverTheWrapOfTheClock) {
  Fixture f;
  f.add(1, 3, 4090);
  FlowSurvey survey;
  survey.start({0, 10});
  walk(survey, f.table, 64, 4100 % 4096);
  EXPECT_THAT(survey.flows(), ElementsAre(0, 3));
  survey.start({0, 9});
  walk(survey, f.table, 64, 4100 % 4096);
  EXPECT_THAT(survey.flows(), ElementsAre(0, 0));
}

TEST(FlowSurvey, BackendsThatNobodyAsksForAreLeftOut) {
  Fixture f;
  f.add(2, 9);
  f.add(65535, 1);
  FlowSurvey survey;
  survey.start({0, 10});
  walk(survey, f.table, 64);
  EXPECT_THAT(survey.flows(), ElementsAre(0, 0));
}

TEST(FlowSurvey, BeginsAnewOnlyAfterItsEnd) {
  Fixture f;
  f.add(1, 9);
  FlowSurvey survey;
  ASSERT_TRUE(survey.start({0, 10}));
  EXPECT_TRUE(survey.at_start());
  survey.advance(f.table, 63, kNow);
  EXPECT_FALSE(survey.at_start());
  EXPECT_FALSE(survey.start({0, 10, 10}));
  survey.advance(f.table, 1, kNow);
  ASSERT_TRUE(survey.done());
  f.add(1, 1);
  ASSERT_TRUE(survey.start({0, 10}));
  EXPECT_FALSE(survey.done());
  EXPECT_TRUE(survey.at_start());
  walk(survey, f.table, 64);
  EXPECT_THAT(survey.flows(), ElementsAre(0, 10));
}

TEST(FlowSurvey, TheWalkerWritesTheTableWhileItWalks) {
  Fixture f(FlowTable::buckets_for(1 << 16));
  f.add(1, 1 << 16);
  FlowSurvey survey;
  std::atomic<bool> stop{false};
  std::thread walker([&] {
    std::mt19937_64 random(1);
    while (!stop.load()) {
      f.table.insert(hash_of(5, random() >> 28), 2, kNow);
      if (survey.running()) survey.advance(f.table, 100, kNow);
    }
  });
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(survey.start({0, 10, 10}));
    while (!survey.done()) std::this_thread::yield();
    // All others stay; those that came share one bucket.
    EXPECT_GE(survey.flows()[1], (1u << 16) - 8);
    EXPECT_LE(survey.flows()[2], 8u);
  }
  stop.store(true);
  walker.join();
}

}  // namespace
}  // namespace sluice
