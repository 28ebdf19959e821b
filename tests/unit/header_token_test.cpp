#include "dataplane/l7/header_token.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "dataplane/l7/hpack_static_table.h"
#include "lb/l7/random.h"

namespace sluice::l7 {
namespace {

constexpr auto kLast = static_cast<int>(HeaderToken::kVia);

TEST(HeaderToken, NameAndTokenLeadToEachOther) {
  std::set<std::string_view> names;
  for (int i = 1; i <= kLast; ++i) {
    const auto token = static_cast<HeaderToken>(i);
    EXPECT_EQ(token_of(name_of(token)), token) << name_of(token);
    EXPECT_TRUE(names.insert(name_of(token)).second) << name_of(token);
  }
  EXPECT_EQ(name_of(HeaderToken::kOther), "");
  EXPECT_EQ(token_of("content-length"), HeaderToken::kContentLength);
  EXPECT_EQ(token_of(":status"), HeaderToken::kStatus);
  EXPECT_EQ(token_of("x-forwarded-for"), HeaderToken::kForwardedFor);
}

TEST(HeaderToken, OnlyTheWholeNameInLowerCaseHasAToken) {
  EXPECT_EQ(token_of(""), HeaderToken::kOther);
  EXPECT_EQ(token_of("Host"), HeaderToken::kOther);
  for (int i = 1; i <= kLast; ++i) {
    const std::string name(name_of(static_cast<HeaderToken>(i)));
    // The slot is found by length and ends: what differs in the middle must still not be taken for it.
    for (size_t at = 0; at < name.size(); ++at) {
      std::string other = name;
      other[at] = '~';
      EXPECT_EQ(token_of(other), HeaderToken::kOther) << other;
      other[at] = static_cast<char>(name[at] ^ 0x80);
      EXPECT_EQ(token_of(other), HeaderToken::kOther) << other;
    }
    EXPECT_EQ(token_of(name + "x"), HeaderToken::kOther);
    EXPECT_EQ(token_of(name.substr(1)), HeaderToken::kOther) << name;
  }
}

TEST(HeaderToken, RandomNamesHaveNone) {
  Random random(1);
  for (int round = 0; round < 100'000; ++round) {
    std::string name;
    for (size_t left = 1 + random.below(20); left > 0; --left) name.push_back(static_cast<char>(random()));
    const HeaderToken token = token_of(name);
    if (token != HeaderToken::kOther) {
      EXPECT_EQ(name_of(token), name);
    }
  }
}

TEST(HeaderToken, PseudoFieldsAreThoseWithAColon) {
  for (int i = 0; i <= kLast; ++i) {
    const auto token = static_cast<HeaderToken>(i);
    EXPECT_EQ(is_pseudo(token), name_of(token).starts_with(':')) << name_of(token);
  }
}

}  // namespace
}  // namespace sluice::l7
