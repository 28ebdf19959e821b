#include "lb/id_registry.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(IdRegistry, GivesNumbersFromOneAndKeepsThem) {
  IdRegistry ids(100);
  EXPECT_EQ(ids.acquire("a"), 1);
  EXPECT_EQ(ids.acquire("b"), 2);
  EXPECT_EQ(ids.acquire("a"), 1);
  EXPECT_EQ(ids.find("b"), 2);
  EXPECT_EQ(ids.find("c"), std::nullopt) << "to ask is not to acquire";
  EXPECT_EQ(ids.acquire("c"), 3);
}

TEST(IdRegistry, RetainFreesAllOthers) {
  IdRegistry ids(100);
  for (const char* name : {"a", "b", "c"}) ids.acquire(name);
  ids.retain({"b", "never seen"});
  EXPECT_EQ(ids.find("a"), std::nullopt);
  EXPECT_EQ(ids.find("b"), 2);
  EXPECT_EQ(ids.find("c"), std::nullopt);
  EXPECT_EQ(ids.find("never seen"), std::nullopt);
}

TEST(IdRegistry, ReusesAFreedNumberAsLateAsItCan) {
  // Flow entries of the former owner have so the longest time to expire.
  IdRegistry ids(4);
  for (const char* name : {"a", "b", "c"}) ids.acquire(name);
  ids.retain({"c"});
  EXPECT_EQ(ids.acquire("d"), 4) << "unused numbers first";
  EXPECT_EQ(ids.acquire("e"), 1) << "then the one freed first";
  ids.retain({"c", "e"});
  EXPECT_EQ(ids.acquire("f"), 2) << "4 was freed after it";
  EXPECT_EQ(ids.acquire("g"), 4);
}

TEST(IdRegistry, RefusesWhenAllAreTaken) {
  IdRegistry ids(2);
  EXPECT_EQ(ids.limit(), 2);
  ids.acquire("a");
  ids.acquire("b");
  EXPECT_EQ(ids.acquire("c"), std::nullopt);
  EXPECT_EQ(ids.acquire("a"), 1) << "who has one keeps it";
  ids.retain({"b"});
  EXPECT_EQ(ids.acquire("c"), 1);
}

TEST(IdRegistry, HandsOutAll65535Once) {
  IdRegistry ids(65535);
  std::set<uint16_t> seen;
  for (int i = 0; i < 65535; ++i) seen.insert(ids.acquire(std::to_string(i)).value_or(0));
  EXPECT_EQ(seen.size(), 65535u);
  EXPECT_EQ(*seen.begin(), 1) << "0 is nobody";
  EXPECT_EQ(ids.acquire("one more"), std::nullopt);
}

}  // namespace
}  // namespace sluice
