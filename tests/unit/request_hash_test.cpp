#include "lb/l7/request_hash.h"

#include <gtest/gtest.h>
namespace sluice {
namespace {

TEST(RequestHash, DependsOnEveryByteAndTheKey) {
  const SipKey key = cluster_key("a");
  EXPECT_NE(request_hash(key, "abc"), request_hash(key, "abd"));
  EXPECT_NE(request_hash(key, "abc"), request_hash(cluster_key("b"), "abc"));
  EXPECT_NE(request_hash(key, IpAddress::v4(10, 0, 0, 1)), request_hash(key, IpAddress::v4(10, 0, 0, 2)));
  EXPECT_NE(chain_hashes(1, 2), chain_hashes(2, 1));
}

}  // namespace
}  // namespace sluice
