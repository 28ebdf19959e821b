#include "lb/l7/tracestate.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sluice {
namespace {

bool good(const std::vector<std::string>& fields) {
  TracestateCheck check;
  for (const std::string& field : fields) check.add(field);
  return check.good();
}

std::string members(int count) {
  std::string list;
  for (int i = 0; i < count; ++i) list += (i == 0 ? "k" : ",k") + std::to_string(i) + "=1";
  return list;
}

TEST(Tracestate, ListsAreGood) {
  const std::string all_values =
      "!\"#$%&'()*+-./0123456789:;<>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~";
  const std::vector<std::vector<std::string>> lists{
      {},
      {"foo=1"},
      {"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"},
      {"foo=1", "bar=2"},
      {"foo=1", ""},
      {"", "foo=1"},
      {""},
      {"foo=1,", ",bar=2"},
      {"foo=1 \t , \t bar=2, \t baz=3"},
      {"foo=1\t", " bar=2"},
      {"foo=1,foo=2"},
      {"foo@bar=1,bar@foo=2"},
      {"fw529a3039@dt=FfLtY8Ni", "0abc@vendor=1"},
      {std::string("abcdefghijklmnopqrstuvwxyz0123456789_-*/=") + all_values},
      {"foo=a b"},
      {std::string(256, 'z') + "=1"},
      {std::string(241, 't') + "@" + std::string(14, 'v') + "=1"},
      {"foo=" + std::string(256, 'v')},
      {members(32)},
      {members(16), members(16)},
  };
  for (const auto& list : lists) EXPECT_TRUE(good(list)) << testing::PrintToString(list);
}

TEST(Tracestate, WhatIsNoListIsRefused) {
  const std::vector<std::vector<std::string>> lists{
      {"foo"},
      {"foo="},
      {"=1"},
      {"foo=1=2"},
      {"foo =1"},
      {"FOO=1"},
      {"foo.bar=1"},
      {"0foo=1"},
      {"foo@=1,bar=2"},
      {"@foo=1,bar=2"},
      {"foo@@bar=1,bar=2"},
      {"foo@bar@baz=1,bar=2"},
      {"foo@0bar=1"},
      {std::string(257, 'z') + "=1"},
      {std::string(242, 't') + "@v=1"},
      {"t@" + std::string(15, 'v') + "=1"},
      {"foo=" + std::string(257, 'v')},
      {"foo=bar\x7f"},
      {"foo=b\x01r"},
      {"foo=b\xc3\xa4r"},
      {"foo=1;bar=2;x"},
      {members(33)},
      {members(16), members(17)},
      {"foo=1", "bar"},
  };
  for (const auto& list : lists) EXPECT_FALSE(good(list)) << testing::PrintToString(list);
}

}  // namespace
}  // namespace sluice
