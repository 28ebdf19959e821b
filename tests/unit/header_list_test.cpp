#include "dataplane/l7/header_list.h"

#include <gtest/gtest.h>

#include <string>

namespace sluice::l7 {
namespace {

TEST(HeaderList, FieldsKeepTheirOrderTextAndToken) {
  HeaderList list;
  EXPECT_TRUE(list.empty());
  list.add(HeaderToken::kStatus, "200");
  list.add("x-one", "1");
  list.add("cookie", "a=b", HeaderToken::kCookie, true);
  list.add("cookie", "");
  ASSERT_EQ(list.size(), 4u);
  const auto& fields = list.fields();
  EXPECT_EQ(list.name(fields[0]), ":status");
  EXPECT_EQ(list.value(fields[0]), "200");
  EXPECT_EQ(fields[0].token, HeaderToken::kStatus);
  EXPECT_EQ(list.name(fields[1]), "x-one");
  EXPECT_EQ(fields[1].token, HeaderToken::kOther);
  EXPECT_FALSE(fields[1].sensitive);
  EXPECT_EQ(list.value(fields[2]), "a=b");
  EXPECT_TRUE(fields[2].sensitive);
  EXPECT_EQ(list.value(fields[3]), "");
  EXPECT_EQ(fields[3].token, HeaderToken::kCookie);
}

TEST(HeaderList, FindsTheFirstOfAToken) {
  HeaderList list;
  list.add("x", "0");
  list.add(HeaderToken::kHost, "first");
  list.add(HeaderToken::kHost, "second");
  EXPECT_EQ(list.get(HeaderToken::kHost), "first");
  EXPECT_EQ(list.find(HeaderToken::kHost), &list.fields()[1]);
  EXPECT_EQ(list.find(HeaderToken::kVia), nullptr);
  EXPECT_EQ(list.get(HeaderToken::kVia), "");
}

// RFC 9113 section 6.5.2.
TEST(HeaderList, SizeCountsTextsAnd32PerField) {
  HeaderList list;
  list.add("name", "value");
  EXPECT_EQ(list.list_size(), 41u);
  list.add("", "");
  EXPECT_EQ(list.list_size(), 73u);
  list.clear();
  EXPECT_EQ(list.list_size(), 0u);
  EXPECT_TRUE(list.empty());
}

TEST(HeaderList, TextsSurviveGrowing) {
  HeaderList list;
  for (int i = 0; i < 500; ++i)
    list.add("name" + std::to_string(i), std::string(static_cast<size_t>(i), 'v'));
  for (int i = 0; i < 500; ++i) {
    const auto& field = list.fields()[static_cast<size_t>(i)];
    ASSERT_EQ(list.name(field), "name" + std::to_string(i));
    ASSERT_EQ(list.value(field), std::string(static_cast<size_t>(i), 'v'));
  }
}

TEST(HeaderList, AnUsedListTakesTheNextMessageWithoutMemory) {
  HeaderList list;
  list.add("name", std::string(5000, 'v'));
  const size_t before = list.capacity();
  EXPECT_GE(before, 5000u);
  list.clear();
  list.add("name", std::string(5000, 'w'));
  EXPECT_EQ(list.capacity(), before);
  list.shrink(before);
  EXPECT_EQ(list.size(), 1u) << "what is not above the limit stays";
  list.shrink(before - 1);
  EXPECT_EQ(list.capacity(), 0u);
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.list_size(), 0u);
  list.add("name", "again");
  EXPECT_EQ(list.value(list.fields()[0]), "again");
}

TEST(HeaderList, AValueIsWrittenOverByOneOfItsSize) {
  HeaderList fields;
  fields.add("x-before", "1");
  fields.add(HeaderToken::kTraceparent, "abc");
  fields.add("x-behind", "2");
  EXPECT_FALSE(fields.overwrite(HeaderToken::kTraceparent, "long"));
  EXPECT_FALSE(fields.overwrite(HeaderToken::kTracestate, "abc"));
  EXPECT_TRUE(fields.overwrite(HeaderToken::kTraceparent, "xyz"));
  EXPECT_EQ(fields.get(HeaderToken::kTraceparent), "xyz");
  EXPECT_EQ(fields.value(fields.fields()[0]), "1");
  EXPECT_EQ(fields.name(fields.fields()[2]), "x-behind");
}

}  // namespace
}  // namespace sluice::l7
