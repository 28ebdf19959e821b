#include "control/proxy/connect_failure_log.h"

#include <gtest/gtest.h>

namespace sluice::control {
namespace {

using std::chrono::seconds;
using Time = std::chrono::system_clock::time_point;

const Time kStart{seconds(1'000'000)};
const EndpointId kEndpoint{*IpAddress::parse("192.0.2.1"), 80};

l7::ProxySnapshot snapshot_with(const EndpointSet* previous = nullptr) {
  Endpoint endpoint;
  endpoint.id = kEndpoint;
  l7::ProxySnapshot snapshot;
  snapshot.clusters["app"].endpoints = *EndpointSet::build({}, {endpoint}, previous, PickTime(), 2);
  return snapshot;
}

void fail(const l7::ProxySnapshot& snapshot, uint32_t worker, const char* why, Time at) {
  EndpointTraffic& traffic = *snapshot.clusters.at("app").endpoints->state(0)->traffic;
  traffic.of(worker).connect_failures.add(1);
  traffic.note_connect_failure(why, at);
}

TEST(ConnectFailureLog, SaysEachReasonOnceUntilAMinuteIsOver) {
  const l7::ProxySnapshot snapshot = snapshot_with();
  ConnectFailureLog log;
  EXPECT_TRUE(log.look(snapshot, kStart).empty());

  fail(snapshot, 0, "Connection refused", kStart);
  fail(snapshot, 1, "Connection refused", kStart);
  auto lines = log.look(snapshot, kStart + seconds(1));
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].cluster, "app");
  EXPECT_EQ(lines[0].endpoint, kEndpoint);
  EXPECT_EQ(lines[0].why, "Connection refused");
  EXPECT_EQ(lines[0].failures, 2u);

  fail(snapshot, 0, "Connection refused", kStart + seconds(2));
  EXPECT_TRUE(log.look(snapshot, kStart + seconds(2)).empty());
  fail(snapshot, 0, "no connection within the time-out", kStart + seconds(3));
  lines = log.look(snapshot, kStart + seconds(3));
  ASSERT_EQ(lines.size(), 1u) << "another reason";
  EXPECT_EQ(lines[0].failures, 2u) << "the one that was not said is counted";

  EXPECT_TRUE(log.look(snapshot, kStart + seconds(70)).empty()) << "nothing has failed since";
  fail(snapshot, 0, "no connection within the time-out", kStart + seconds(71));
  EXPECT_EQ(log.look(snapshot, kStart + seconds(71)).size(), 1u);
}

TEST(ConnectFailureLog, KnowsAnEndpointThatHasGoneAndComeAgainNoMore) {
  ConnectFailureLog log;
  const l7::ProxySnapshot before = snapshot_with();
  fail(before, 0, "Connection refused", kStart);
  EXPECT_EQ(log.look(before, kStart).size(), 1u);
  const l7::ProxySnapshot kept = snapshot_with(before.clusters.at("app").endpoints.get());
  EXPECT_TRUE(log.look(kept, kStart + seconds(1)).empty());

  const l7::ProxySnapshot anew = snapshot_with();
  fail(anew, 0, "Connection refused", kStart + seconds(2));
  EXPECT_TRUE(log.look(anew, kStart + seconds(2)).empty()) << "as many as were said";
  EXPECT_TRUE(log.look(l7::ProxySnapshot{}, kStart + seconds(3)).empty());
  EXPECT_EQ(log.look(anew, kStart + seconds(4)).size(), 1u);
}

}  // namespace
}  // namespace sluice::control
