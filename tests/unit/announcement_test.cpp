#include "lb/announcement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace sluice {
namespace {

using testing::ElementsAre;

Prefix prefix(const char* text) {
  return Prefix::parse(text).value();
}

Vip vip(const char* name, const char* address, const char* pool, bool announce = true) {
  return {.name = name, .address = prefix(address), .pool = pool, .announce = announce};
}

/// Two pools, "good" with both of its two backends healthy and "bad" with none of its one.
class AnnouncementTest : public testing::Test {
 protected:
  AnnouncementTest() {
    for (const char* name : {"good", "bad"}) {
      services_.pools.push_back(
          {.name = name, .backends = {{.name = "1", .address = IpAddress::v4(10, 0, 0, 1)}}});
    }
    services_.pools[0].backends.push_back({.name = "2", .address = IpAddress::v4(10, 0, 0, 2)});
  }
  std::vector<Announcement> plan(std::vector<Vip> vips, NodeDrain drain = NodeDrain::kNone) {
    services_.vips = std::move(vips);
    return plan_announcements(
        services_, {assess_pool(services_.pools[0], {true, true}), assess_pool(services_.pools[1], {false})},
        drain);
  }
  Services services_;
};

TEST_F(AnnouncementTest, AddressesOfPoolsThatCanServeAreAnnounced) {
  const auto planned =
      plan({vip("b", "192.0.2.2", "bad"), vip("a", "192.0.2.1", "good"), vip("c", "2001:db8::1", "good")});
  ASSERT_EQ(planned.size(), 3);
  EXPECT_EQ(planned[0].address, prefix("192.0.2.1"));
  EXPECT_TRUE(planned[0].announced);
  EXPECT_EQ(planned[0].reason, "");
  EXPECT_THAT(planned[0].vips, ElementsAre("a"));
  EXPECT_EQ(planned[1].address, prefix("192.0.2.2"));
  EXPECT_FALSE(planned[1].announced);
  EXPECT_EQ(planned[1].reason, "pool 'bad' of vip 'b' has 0 healthy of 1 backends, min_healthy is 1");
  EXPECT_TRUE(planned[2].announced);
}

TEST_F(AnnouncementTest, AnAddressNeedsThePoolsOfAllItsVips) {
  for (const auto& vips : {std::vector{vip("a", "192.0.2.1", "good"), vip("b", "192.0.2.1", "bad")},
                           std::vector{vip("b", "192.0.2.1", "bad"), vip("a", "192.0.2.1", "good")}}) {
    const auto planned = plan(vips);
    ASSERT_EQ(planned.size(), 1);
    EXPECT_FALSE(planned[0].announced);
    EXPECT_EQ(planned[0].reason, "pool 'bad' of vip 'b' has 0 healthy of 1 backends, min_healthy is 1");
    EXPECT_THAT(planned[0].vips, testing::UnorderedElementsAre("a", "b"));
  }
}

TEST_F(AnnouncementTest, AVipThatNobodyWantsAnnouncedDoesNotHinderOthers) {
  const auto planned = plan({vip("b", "192.0.2.1", "bad", false), vip("a", "192.0.2.1", "good")});
  ASSERT_EQ(planned.size(), 1);
  EXPECT_TRUE(planned[0].announced);
}

TEST_F(AnnouncementTest, WithoutAnyVipThatWantsItAnAddressStays) {
  const auto planned = plan({vip("a", "192.0.2.1", "good", false)});
  ASSERT_EQ(planned.size(), 1);
  EXPECT_FALSE(planned[0].announced);
  EXPECT_EQ(planned[0].reason, "announce is false");
}

TEST_F(AnnouncementTest, ADrainingNodeAnnouncesNothing) {
  const auto planned = plan({vip("a", "192.0.2.1", "good"), vip("b", "192.0.2.2", "bad")}, NodeDrain::kDone);
  ASSERT_EQ(planned.size(), 2);
  for (const Announcement& announcement : planned) {
    EXPECT_FALSE(announcement.announced);
    EXPECT_EQ(announcement.reason, "the node drains");
  }
}

TEST_F(AnnouncementTest, ALeavingNodeAnnouncesWhatItCanServeAsALastResort) {
  const auto planned =
      plan({vip("a", "192.0.2.1", "good"), vip("b", "192.0.2.2", "bad")}, NodeDrain::kLeaving);
  ASSERT_EQ(planned.size(), 2);
  EXPECT_TRUE(planned[0].announced);
  EXPECT_TRUE(planned[0].leaving);
  EXPECT_EQ(planned[0].reason, "the node drains");
  EXPECT_FALSE(planned[1].announced);
  EXPECT_FALSE(planned[1].leaving);
  EXPECT_EQ(planned[1].reason, "pool 'bad' of vip 'b' has 0 healthy of 1 backends, min_healthy is 1");
}

}  // namespace
}  // namespace sluice
