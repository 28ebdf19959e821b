#include "dataplane/l7/object_pool.h"

#include <gtest/gtest.h>

#include <vector>

namespace sluice::l7 {
namespace {

struct Counts {
  int made = 0;
  int deleted = 0;
  int recycled = 0;
};

struct Thing {
  explicit Thing(Counts& counts) : counts_(counts) { ++counts_.made; }
  ~Thing() { ++counts_.deleted; }
  void recycle() {
    ++counts_.recycled;
    used = false;
  }
  bool used = false;
  Counts& counts_;
};

TEST(ObjectPool, WhatIsGivenBackIsUsedAgainAndClean) {
  Counts counts;
  ObjectPool<Thing, Counts> pool(counts);
  Thing& first = pool.take();
  first.used = true;
  pool.give_back(first);
  Thing& again = pool.take();
  EXPECT_EQ(&again, &first);
  EXPECT_FALSE(again.used);
  EXPECT_EQ(counts.made, 1);
  pool.give_back(again);
}

TEST(ObjectPool, CountsWhatIsInUse) {
  Counts counts;
  ObjectPool<Thing, Counts> pool(counts);
  Thing& one = pool.take();
  Thing& other = pool.take();
  EXPECT_NE(&one, &other);
  EXPECT_EQ(pool.in_use(), 2u);
  pool.give_back(one);
  EXPECT_EQ(pool.in_use(), 1u);
  pool.give_back(other);
  EXPECT_EQ(pool.in_use(), 0u);
}

TEST(ObjectPool, AfterABurstItKeepsNoMoreThanItMay) {
  constexpr int kBurst = 5000;
  constexpr int kKept = 4096;
  Counts counts;
  {
    ObjectPool<Thing, Counts> pool(counts);
    std::vector<Thing*> things;
    for (int i = 0; i < kBurst; ++i) things.push_back(&pool.take());
    for (Thing* thing : things) pool.give_back(*thing);
    EXPECT_EQ(counts.made, kBurst);
    EXPECT_EQ(counts.deleted, kBurst - kKept);
    // What is deleted needs no cleaning.
    EXPECT_EQ(counts.recycled, kKept);
  }
  EXPECT_EQ(counts.deleted, kBurst);
}

TEST(ObjectPool, TrimTakesWhatNobodyHasNeededSinceTheLastTime) {
  Counts counts;
  ObjectPool<Thing, Counts> pool(counts);
  std::vector<Thing*> things;
  for (int i = 0; i < 10; ++i) things.push_back(&pool.take());
  for (Thing* thing : things) pool.give_back(*thing);
  // All ten were in use at once since the pool was made.
  pool.trim_unneeded();
  EXPECT_EQ(counts.deleted, 0);
  // Since then three at most.
  things.clear();
  for (int i = 0; i < 3; ++i) things.push_back(&pool.take());
  for (Thing* thing : things) pool.give_back(*thing);
  pool.give_back(pool.take());
  pool.trim_unneeded();
  EXPECT_EQ(counts.deleted, 7);
  for (int i = 0; i < 3; ++i) things[static_cast<size_t>(i)] = &pool.take();
  EXPECT_EQ(counts.made, 10);
  pool.trim_unneeded();
  EXPECT_EQ(counts.deleted, 7);
  for (Thing* thing : things) pool.give_back(*thing);
  pool.trim_unneeded();
  EXPECT_EQ(counts.deleted, 7);
  pool.trim_unneeded();
  EXPECT_EQ(counts.deleted, 10);
}

TEST(ObjectPool, WhatIsTrimmedIsNotTrimmedAgain) {
  Counts counts;
  ObjectPool<Thing, Counts> pool(counts);
  pool.give_back(pool.take());
  pool.trim_unneeded();
  pool.trim();
  EXPECT_EQ(counts.deleted, 1);
  pool.give_back(pool.take());
  pool.trim_unneeded();
  EXPECT_EQ(counts.deleted, 1);
}

TEST(ObjectPool, TheLastGivenBackIsTheFirstTakenAndTheLastTrimmed) {
  Counts counts;
  ObjectPool<Thing, Counts> pool(counts);
  Thing& first = pool.take();
  Thing& last = pool.take();
  pool.give_back(first);
  pool.give_back(last);
  pool.trim_unneeded();
  pool.give_back(pool.take());
  pool.trim_unneeded();
  EXPECT_EQ(counts.deleted, 1);
  EXPECT_EQ(&pool.take(), &last);
  pool.give_back(last);
}

}  // namespace
}  // namespace sluice::l7
