#include "dataplane/l7/intrusive_list.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace sluice::l7 {
namespace {

struct TagA;
struct TagB;
struct Item : ListLink<TagA>, ListLink<TagB> {
  explicit Item(char letter) : name(letter) {}
  char name;
};
using ListA = IntrusiveList<Item, TagA>;
using ListB = IntrusiveList<Item, TagB>;

std::string drain(ListA& list) {
  std::string names;
  while (!list.empty()) {
    names.push_back(list.front().name);
    list.front().ListLink<TagA>::unlink();
  }
  return names;
}

TEST(IntrusiveList, KeepsTheOrderOfJoining) {
  Item a('a'), b('b'), c('c');
  ListA list;
  EXPECT_TRUE(list.empty());
  for (Item* item : {&b, &a, &c}) list.push_back(*item);
  EXPECT_EQ(drain(list), "bac");
  EXPECT_TRUE(list.empty());
}

TEST(IntrusiveList, AMemberLeavesFromAnyPlace) {
  Item a('a'), b('b'), c('c');
  for (Item* gone : {&a, &b, &c}) {
    ListA list;
    for (Item* item : {&a, &b, &c}) list.push_back(*item);
    gone->ListLink<TagA>::unlink();
    EXPECT_FALSE(gone->ListLink<TagA>::linked());
    gone->ListLink<TagA>::unlink();  // again: nothing happens
    std::string left = "abc";
    std::erase(left, gone->name);
    EXPECT_EQ(drain(list), left);
  }
}

TEST(IntrusiveList, TagsAreListsOfTheirOwn) {
  Item a('a');
  ListA one;
  ListB other;
  one.push_back(a);
  other.push_back(a);
  a.ListLink<TagA>::unlink();
  EXPECT_TRUE(one.empty());
  EXPECT_FALSE(other.empty());
  EXPECT_TRUE(a.ListLink<TagB>::linked());
}

TEST(IntrusiveList, AMemberThatIsDestroyedLeaves) {
  ListA list;
  Item a('a'), c('c');
  auto b = std::make_unique<Item>('b');
  for (Item* item : {&a, b.get(), &c}) list.push_back(*item);
  b.reset();
  EXPECT_EQ(drain(list), "ac");
}

TEST(IntrusiveList, AListThatIsDestroyedLetsItsMembersGo) {
  Item a('a'), b('b');
  {
    ListA list;
    list.push_back(a);
    list.push_back(b);
  }
  EXPECT_FALSE(a.ListLink<TagA>::linked());
  ListA another;
  another.push_back(b);
  another.push_back(a);
  EXPECT_EQ(drain(another), "ba");
}

TEST(IntrusiveList, TakesAllOfAnother) {
  Item a('a'), b('b'), c('c');
  ListA from, into;
  into.push_back(a);
  from.push_back(b);
  from.push_back(c);
  into.take_all(from);
  EXPECT_TRUE(from.empty());
  EXPECT_EQ(drain(into), "abc");
}

}  // namespace
}  // namespace sluice::l7
