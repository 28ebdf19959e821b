#include "dataplane/l7/server_name_index.h"

#include <gtest/gtest.h>

namespace sluice::l7 {
namespace {

TEST(ServerNameIndex, FindsExactNamesInAnyCase) {
  ServerNameIndex index;
  index.add("www.Example.com", 3);
  EXPECT_EQ(index.find("www.example.com"), 3u);
  EXPECT_EQ(index.find("WWW.EXAMPLE.COM"), 3u);
  EXPECT_EQ(index.find("www.example.com."), 3u);
  EXPECT_EQ(index.find("example.com"), std::nullopt);
}

TEST(ServerNameIndex, AWildcardStandsForOneLabel) {
  ServerNameIndex index;
  index.add("*.example.com", 1);
  EXPECT_EQ(index.find("a.example.com"), 1u);
  EXPECT_EQ(index.find("a.b.example.com"), std::nullopt);
  EXPECT_EQ(index.find("example.com"), std::nullopt);
  EXPECT_EQ(index.find(".example.com"), std::nullopt);
}

TEST(ServerNameIndex, AnExactNameGoesBeforeAWildcard) {
  ServerNameIndex index;
  index.add("*.example.com", 0);
  index.add("api.example.com", 1);
  EXPECT_EQ(index.find("api.example.com"), 1u);
  EXPECT_EQ(index.find("www.example.com"), 0u);
}

TEST(ServerNameIndex, TheFirstCertificateKeepsAName) {
  ServerNameIndex index;
  index.add("a.example.com", 0);
  index.add("a.example.com", 1);
  EXPECT_EQ(index.find("a.example.com"), 0u);
}

TEST(ServerNameIndex, NamesWithoutDotsAndEmptyOnesAreNoWildcards) {
  ServerNameIndex index;
  index.add("*.com", 0);
  index.add("localhost", 1);
  EXPECT_EQ(index.find("localhost"), 1u);
  EXPECT_EQ(index.find("com"), std::nullopt);
  EXPECT_EQ(index.find(""), std::nullopt);
}

}  // namespace
}  // namespace sluice::l7
