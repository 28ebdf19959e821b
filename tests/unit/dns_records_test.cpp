#include "lb/l7/dns_records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

IpAddress ip(std::string_view text) {
  return *IpAddress::parse(text);
}

std::vector<IpAddress> ips(std::initializer_list<std::string_view> texts) {
  std::vector<IpAddress> list;
  for (const std::string_view text : texts) list.push_back(ip(text));
  return list;
}

DnsAnswer records(std::initializer_list<std::string_view> addresses, std::chrono::seconds ttl = 30s) {
  return {DnsAnswerKind::kRecords, ips(addresses), {}, ttl, {}};
}

const DnsAnswer kEmpty{DnsAnswerKind::kEmpty, {}, {}, 0s, "not there"};
const DnsAnswer kFailed{DnsAnswerKind::kFailed, {}, {}, 0s, "timed out"};
const NameAddresses kLast{ips({"192.0.2.1"}), ips({"2001:db8::1"})};

TEST(MergeAnswers, WhatIsFoundReplacesWhatWas) {
  const DnsAnswer v4 = records({"192.0.2.3", "192.0.2.2", "192.0.2.3"}, 60s);
  const DnsAnswer v6 = records({"2001:db8::2"}, 20s);
  const NameOutcome outcome = merge_answers(kLast, &v4, &v6, true);
  EXPECT_EQ(outcome.kind, DnsAnswerKind::kRecords);
  EXPECT_EQ(outcome.addresses, (NameAddresses{ips({"192.0.2.2", "192.0.2.3"}), ips({"2001:db8::2"})}));
  EXPECT_EQ(outcome.ttl, 20s);
  EXPECT_EQ(outcome.error, "");
}

TEST(MergeAnswers, AFamilyThatCannotBeAskedForKeepsWhatItHad) {
  const DnsAnswer v4 = records({"192.0.2.9"});
  const NameOutcome outcome = merge_answers(kLast, &v4, &kFailed, true);
  EXPECT_EQ(outcome.kind, DnsAnswerKind::kFailed);
  EXPECT_EQ(outcome.addresses, (NameAddresses{ips({"192.0.2.9"}), kLast.v6}));
  EXPECT_EQ(outcome.error, "timed out");
  EXPECT_EQ(merge_answers(kLast, &kFailed, &kFailed, false).addresses, kLast);
}

TEST(MergeAnswers, AFamilyThatIsEmptyGoesWhenTheOtherIsNot) {
  const DnsAnswer v4 = records({"192.0.2.9"});
  const NameOutcome outcome = merge_answers(kLast, &v4, &kEmpty, true);
  EXPECT_EQ(outcome.kind, DnsAnswerKind::kRecords);
  EXPECT_THAT(outcome.addresses.v6, IsEmpty());
}

TEST(MergeAnswers, ANameThatIsGoneKeepsItsAddressesIfToldSo) {
  const NameOutcome kept = merge_answers(kLast, &kEmpty, &kEmpty, true);
  EXPECT_EQ(kept.kind, DnsAnswerKind::kEmpty);
  EXPECT_EQ(kept.addresses, kLast);
  EXPECT_EQ(kept.error, "not there");
  const NameOutcome removed = merge_answers(kLast, &kEmpty, &kEmpty, false);
  EXPECT_EQ(removed.kind, DnsAnswerKind::kEmpty);
  EXPECT_TRUE(removed.addresses.empty());
}

TEST(MergeAnswers, AFailureBesideAnEmptyFamilyLosesNothing) {
  const NameAddresses only_v4{ips({"192.0.2.1"}), {}};
  EXPECT_EQ(merge_answers(only_v4, &kEmpty, &kFailed, true).addresses, only_v4);
}

TEST(MergeAnswers, AFamilyThatIsNotAskedForHasNoAddresses) {
  const DnsAnswer v6 = records({"2001:db8::7"});
  const NameOutcome outcome = merge_answers(kLast, nullptr, &v6, true);
  EXPECT_THAT(outcome.addresses.v4, IsEmpty());
  EXPECT_EQ(outcome.addresses.v6, v6.addresses);
}

TEST(MergeAnswers, AddressesThatNoServerHasAreLeftOut) {
  const DnsAnswer some = records({"0.0.0.0", "224.0.0.1", "255.255.255.255", "192.0.2.5"});
  EXPECT_EQ(merge_answers({}, &some, nullptr, true).addresses.v4, ips({"192.0.2.5"}));
  const DnsAnswer none = records({"0.0.0.0"});
  const NameOutcome outcome = merge_answers(kLast, &none, nullptr, true);
  EXPECT_EQ(outcome.kind, DnsAnswerKind::kEmpty);
  EXPECT_EQ(outcome.addresses, kLast);
  EXPECT_EQ(outcome.error, "its addresses are none that a server can have");
}

/// "address:port weight@priority" of each.
std::vector<std::string> texts(const std::vector<Endpoint>& endpoints) {
  std::vector<std::string> list;
  for (const Endpoint& e : endpoints)
    list.push_back(e.id.to_string() + " " + std::to_string(e.weight) + "@" + std::to_string(e.priority));
  return list;
}

SrvTarget target(uint16_t priority, uint16_t weight, std::initializer_list<std::string_view> addresses) {
  return {{priority, weight, 80, "t"}, {ips(addresses), {}}};
}

TEST(EndpointsOfService, PrioritiesAreRankedAndWeightsTaken) {
  const std::vector<SrvTarget> targets{target(500, 7, {"192.0.2.3"}), target(10, 30, {"192.0.2.1"}),
                                       target(10, 10, {"192.0.2.2"})};
  EXPECT_THAT(texts(endpoints_of_service({}, targets)),
              ElementsAre("192.0.2.1:80 30@0", "192.0.2.2:80 10@0", "192.0.2.3:80 7@1"));
}

TEST(EndpointsOfService, ZerosAmongThemselvesAreEqualAndBesideOthersRare) {
  EXPECT_THAT(
      texts(endpoints_of_service({}, std::vector{target(0, 0, {"192.0.2.1"}), target(0, 0, {"192.0.2.2"})})),
      ElementsAre("192.0.2.1:80 100@0", "192.0.2.2:80 100@0"));
  EXPECT_THAT(
      texts(endpoints_of_service({}, std::vector{target(0, 0, {"192.0.2.1"}), target(0, 5, {"192.0.2.2"})})),
      ElementsAre("192.0.2.1:80 1@0", "192.0.2.2:80 500@0"));
}

TEST(EndpointsOfService, AWeightIsTheTargetsNotEachAddresses) {
  EXPECT_THAT(
      texts(endpoints_of_service({}, std::vector{target(0, 3, {"192.0.2.1", "192.0.2.2", "192.0.2.3"}),
                                                 target(0, 3, {"192.0.2.4"})})),
      ElementsAre("192.0.2.1:80 100@0", "192.0.2.2:80 100@0", "192.0.2.3:80 100@0", "192.0.2.4:80 300@0"));
}

TEST(EndpointsOfService, LargeWeightsAndManyPrioritiesStayInRange) {
  std::vector<SrvTarget> targets;
  for (uint16_t i = 0; i < 300; ++i) targets.push_back(target(i, 65535, {"192.0.2.1", "192.0.2.2"}));
  for (const Endpoint& endpoint : endpoints_of_service({}, targets)) {
    EXPECT_GE(endpoint.weight, 1u);
    EXPECT_LE(endpoint.weight, kMaxEndpointWeight);
    EXPECT_LE(endpoint.priority, kMaxEndpointPriority);
  }
}

TEST(JoinEndpoints, EachOnceTheBetterPriorityWinsAndEqualOnesAddUp) {
  const auto endpoint = [](std::string_view address, uint32_t weight, uint32_t priority) {
    return Endpoint{{ip(address), 80}, weight, "", priority};
  };
  EXPECT_THAT(texts(join_endpoints({endpoint("192.0.2.2", 5, 1), endpoint("192.0.2.1", 2, 0),
                                    endpoint("192.0.2.2", 1, 0), endpoint("192.0.2.1", 3, 0)})),
              ElementsAre("192.0.2.1:80 5@0", "192.0.2.2:80 1@0"));
  EXPECT_EQ(join_endpoints({endpoint("192.0.2.1", 65535, 0), endpoint("192.0.2.1", 65535, 0)})[0].weight,
            kMaxEndpointWeight);
}

TEST(EndpointChanges, AreWhatCameAndWhatWent) {
  const auto set = [](std::initializer_list<std::string_view> addresses) {
    return join_endpoints(endpoints_at({{{}, 80}}, {ips(addresses), {}}));
  };
  const EndpointChanges changes =
      endpoint_changes(set({"192.0.2.1", "192.0.2.2"}), set({"192.0.2.2", "192.0.2.3"}));
  EXPECT_THAT(changes.added, ElementsAre(EndpointId{ip("192.0.2.3"), 80}));
  EXPECT_THAT(changes.removed, ElementsAre(EndpointId{ip("192.0.2.1"), 80}));
}

}  // namespace
}  // namespace sluice
