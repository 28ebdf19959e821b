#include "dataplane/l7/tls_ticket_keys.h"

#include <gtest/gtest.h>

namespace sluice::l7 {
namespace {

using std::chrono::seconds;

const TlsTicketKeys::Clock::time_point kStart{};

TEST(TlsTicketKeys, AKeySealsForOneLifetime) {
  TlsTicketKeys keys(kStart, seconds(100));
  const TicketKey first = keys.sealing(kStart);
  EXPECT_EQ(keys.sealing(kStart + seconds(99)).name, first.name);
  const TicketKey second = keys.sealing(kStart + seconds(100));
  EXPECT_NE(second.name, first.name);
  EXPECT_NE(second.cipher, first.cipher);
  EXPECT_NE(second.mac, first.mac);
}

TEST(TlsTicketKeys, ATicketIsOpenedForALifetimeAfterItWasMade) {
  TlsTicketKeys keys(kStart, seconds(100));
  const TicketKey key = keys.sealing(kStart + seconds(99));
  ASSERT_TRUE(keys.opening(key.name, kStart + seconds(99)));
  EXPECT_TRUE(keys.opening(key.name, kStart + seconds(99))->current);
  const auto later = keys.opening(key.name, kStart + seconds(199));
  ASSERT_TRUE(later);
  EXPECT_FALSE(later->current);
  EXPECT_EQ(later->key.cipher, key.cipher);
  EXPECT_EQ(later->key.mac, key.mac);
  EXPECT_FALSE(keys.opening(key.name, kStart + seconds(200)));
}

TEST(TlsTicketKeys, AfterALongSilenceNoOldKeyIsLeft) {
  TlsTicketKeys keys(kStart, seconds(100));
  const TicketKey key = keys.sealing(kStart);
  EXPECT_FALSE(keys.opening(key.name, kStart + seconds(250)));
  const TicketKey next = keys.sealing(kStart + seconds(250));
  // Its time has begun at 200, not when somebody asked.
  EXPECT_NE(keys.sealing(kStart + seconds(300)).name, next.name);
}

TEST(TlsTicketKeys, StrangersKeysAreNotOurs) {
  TlsTicketKeys keys(kStart, seconds(100));
  TlsTicketKeys others(kStart, seconds(100));
  EXPECT_FALSE(keys.opening(others.sealing(kStart).name, kStart));
}

TEST(TlsTicketKeys, AnotherProcessGoesOnWhereThisOneIs) {
  TlsTicketKeys keys(kStart, seconds(100));
  const TicketKey first = keys.sealing(kStart);
  const TicketKey second = keys.sealing(kStart + seconds(130));
  TlsTicketKeys successor(keys.state(kStart + seconds(150)), kStart + seconds(150), seconds(100));
  EXPECT_EQ(successor.sealing(kStart + seconds(150)).mac, second.mac);
  EXPECT_TRUE(successor.opening(first.name, kStart + seconds(150)));
  // They change when they would have: 100 seconds after the last change at 100.
  EXPECT_EQ(successor.sealing(kStart + seconds(199)).name, second.name);
  EXPECT_NE(successor.sealing(kStart + seconds(200)).name, second.name);
}

}  // namespace
}  // namespace sluice::l7
