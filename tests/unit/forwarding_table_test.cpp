#include "lb/forwarding_table.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Table = std::unique_ptr<const ForwardingTable>;

IpAddress ip(std::string_view text) {
  return IpAddress::parse(text).value();
}
MacAddress mac(std::string_view text) {
  return MacAddress::parse(text).value();
}

const MacAddress kOurMac = mac("02:00:00:00:00:aa");
const MacAddress kTheirMac = mac("02:00:00:00:00:bb");

std::optional<Egress> resolved(const Backend&) {
  return Egress{3, kOurMac, kTheirMac, 1500};
}

Backend backend(int number) {
  Backend member;
  member.name = fmt::format("b{}", number);
  member.address = IpAddress::v4(10, 0, 1, static_cast<uint8_t>(number));
  return member;
}

Vip vip(const std::string& name, std::string_view address, const std::string& pool) {
  Vip service;
  service.name = name;
  service.address = Prefix(ip(address));
  service.ports = {443, 443};
  service.pool = pool;
  service.idle_timeout = std::chrono::seconds(60);
  return service;
}

/// Two pools of five backends, a VIP for each.
Services services() {
  Services all;
  all.cluster_seed = "test";
  all.tunnel.source_ipv4 = Prefix(ip("192.0.2.1"));
  for (const char* name : {"blue", "green"}) {
    Pool pool;
    pool.name = name;
    pool.maglev_size = 1009;
    for (int number = 1; number <= 5; ++number) pool.backends.push_back(backend(number));
    all.pools.push_back(pool);
  }
  all.vips = {vip("web", "203.0.113.10", "blue"), vip("api", "203.0.113.11", "green")};
  return all;
}

Table build(const Services& all, ForwardingIds& ids, const ForwardingTable* previous = nullptr,
            const EgressLookup& egress = resolved) {
  auto table = ForwardingTable::build(all, egress, ids, previous);
  EXPECT_TRUE(table) << (table ? "" : table.error().message);
  return table ? std::move(*table) : nullptr;
}

std::string error_of(const Services& all) {
  ForwardingIds ids;
  const auto table = ForwardingTable::build(all, resolved, ids, nullptr);
  return table ? "built" : table.error().message;
}

const ForwardVip& vip_at(const ForwardingTable& table, std::string_view address) {
  const auto index = table.vip_lookup().find({AddressWords::of(ip(address)), Family::kIpv4, 6, Be16(443)});
  EXPECT_NE(index, VipLookup::kNone);
  return table.vip(index);
}
const ForwardVip& web(const ForwardingTable& table) {
  return vip_at(table, "203.0.113.10");
}
const ForwardVip& api(const ForwardingTable& table) {
  return vip_at(table, "203.0.113.11");
}

BackendId id_of(const ForwardingIds& ids, const std::string& pool, int number) {
  return ids.backends.find(fmt::format("{} 10.0.1.{}", pool, number)).value_or(kNoBackend);
}

/// Where hashes go, as addresses: what nodes must agree on.
std::vector<std::string> picks(const ForwardVip& vip, const ForwardingTable& table) {
  std::vector<std::string> addresses;
  std::mt19937_64 random(31);
  for (int i = 0; i < 5000; ++i) {
    const auto& outer = table.backend(vip.pick(random())).outer;
    addresses.push_back(IpAddress::v4(outer.bytes.data() + outer.ip_offset + 16).to_string());
  }
  return addresses;
}

std::map<BackendId, int> shares(const ForwardVip& vip) {
  std::map<BackendId, int> counts;
  for (uint32_t slot = 0; slot < vip.slot_count; ++slot) ++counts[vip.slots[slot]];
  return counts;
}

TEST(BackendIdleTimeouts, AreTheLongestOfTheVipsThatUseTheBackend) {
  Services all = services();
  all.vips.push_back(vip("web2", "203.0.113.12", "blue"));
  all.vips.back().idle_timeout = std::chrono::seconds(901);
  all.pools.push_back({"unused", 1009, {backend(1)}});
  ForwardingIds ids;
  const Table table = build(all, ids);
  const std::vector<FlowTick> timeouts = backend_idle_timeouts(all, ids);
  ASSERT_EQ(timeouts.size(), 12u) << "numbers from 1, up to the highest";
  EXPECT_EQ(timeouts[kNoBackend], 0);
  EXPECT_EQ(timeouts[id_of(ids, "blue", 2)], 451) << "rounded up to ticks";
  EXPECT_EQ(timeouts[id_of(ids, "green", 2)], 30);
  EXPECT_EQ(timeouts[id_of(ids, "unused", 1)], 0);
  EXPECT_EQ(table->longest_idle_timeout(), 451);
}

TEST(ForwardVip, PicksEverySlotByTheUpperHalfOfTheHash) {
  const std::vector<BackendId> slots = {10, 11, 12};
  ForwardVip vip;
  vip.slots = slots.data();
  vip.slot_count = 3;
  EXPECT_EQ(vip.pick(0), 10);
  EXPECT_EQ(vip.pick(0xffffffff), 10) << "the lower half does not matter";
  EXPECT_EQ(vip.pick(0x55555555'00000000), 10);
  EXPECT_EQ(vip.pick(0x55555556'00000000), 11);
  EXPECT_EQ(vip.pick(0xaaaaaaaa'ffffffff), 11);
  EXPECT_EQ(vip.pick(0xaaaaaaab'00000000), 12);
  EXPECT_EQ(vip.pick(~uint64_t{0}), 12);
}

TEST(ForwardVip, WithoutSlotsPicksNobody) {
  EXPECT_EQ(ForwardVip().pick(12345), kNoBackend);
}

TEST(ForwardingTable, EveryVipPicksFromItsPool) {
  ForwardingIds ids;
  const Table table = build(services(), ids);
  ASSERT_EQ(web(*table).slot_count, 1009u);
  ASSERT_EQ(api(*table).slot_count, 1009u);
  for (int number = 1; number <= 5; ++number) {
    EXPECT_NEAR(shares(web(*table))[id_of(ids, "blue", number)], 1009 / 5, 1);
    EXPECT_NEAR(shares(api(*table))[id_of(ids, "green", number)], 1009 / 5, 1);
  }
  EXPECT_EQ(shares(web(*table)).size(), 5u) << "nobody of the other pool";
}

TEST(ForwardingTable, ABackendHasItsWayOut) {
  ForwardingIds ids;
  Services all = services();
  all.tunnel.source_ipv6 = Prefix(ip("2001:db8:2::1"));
  all.pools[0].backends[1].address = ip("2001:db8:1::2");
  const Table table = build(all, ids, nullptr, [](const Backend& asked) -> std::optional<Egress> {
    const auto number = asked.address.bytes().back();
    return Egress{number, kOurMac, kTheirMac, static_cast<uint16_t>(1500 + number)};
  });
  const ForwardBackend& four = table->backend(id_of(ids, "blue", 1));
  EXPECT_TRUE(four.resolved);
  EXPECT_TRUE(four.takes_known_flows);
  EXPECT_EQ(four.port, 1);
  EXPECT_EQ(four.max_inner_length, 1501 - 24);
  EXPECT_EQ(four.outer.bytes,
            make_outer_header(all.tunnel, *all.tunnel.source_ipv4, ip("10.0.1.1"), kOurMac, kTheirMac).bytes);
  const ForwardBackend& six = table->backend(*ids.backends.find("blue 2001:db8:1::2"));
  EXPECT_TRUE(six.resolved);
  EXPECT_EQ(six.port, 2);
  EXPECT_EQ(six.max_inner_length, 1502 - 44);
  EXPECT_FALSE(six.outer.is_ipv4);
}

TEST(ForwardingTable, ALinkSmallerThanTheOuterHeaderTakesNothing) {
  ForwardingIds ids;
  const Table table = build(services(), ids, nullptr, [](const Backend&) {
    return Egress{0, kOurMac, kTheirMac, 20};
  });
  EXPECT_EQ(table->backend(id_of(ids, "blue", 1)).max_inner_length, 0);
}

TEST(ForwardingTable, AnUnresolvedBackendKeepsItsSlots) {
  // Nodes must agree although one of them lacks a neighbour for a moment.
  ForwardingIds ids, other_ids;
  const Table table = build(services(), ids, nullptr, [](const Backend& asked) {
    return asked.name == "b2" ? std::nullopt : resolved(asked);
  });
  EXPECT_FALSE(table->backend(id_of(ids, "blue", 2)).resolved);
  EXPECT_TRUE(table->backend(id_of(ids, "blue", 2)).takes_known_flows);
  EXPECT_TRUE(table->backend(id_of(ids, "blue", 1)).resolved);
  const Table whole = build(services(), other_ids);
  EXPECT_EQ(shares(web(*table)), shares(web(*whole)));
}

TEST(ForwardingTable, WithoutATunnelSourceOfItsFamilyABackendIsUnresolved) {
  ForwardingIds ids;
  Services all = services();
  all.pools[0].backends[0].address = ip("2001:db8:1::1");
  const Table table = build(all, ids);
  EXPECT_FALSE(table->backend(*ids.backends.find("blue 2001:db8:1::1")).resolved);
  EXPECT_TRUE(table->backend(id_of(ids, "blue", 2)).resolved);
}

TEST(ForwardingTable, WeightsAreShares) {
  ForwardingIds ids;
  Services all = services();
  all.pools[0].backends[0].weight = 300;
  const Table table = build(all, ids);
  EXPECT_NEAR(shares(web(*table))[id_of(ids, "blue", 1)], 1009 * 3 / 7, 1);
  EXPECT_NEAR(table->slots_share("blue", id_of(ids, "blue", 1)), 3.0 / 7, 0.001);
  EXPECT_NEAR(table->slots_share("blue", id_of(ids, "blue", 2)), 1.0 / 7, 0.001);
  EXPECT_EQ(table->slots_share("green", id_of(ids, "blue", 1)), 0) << "a backend of another pool";
  EXPECT_EQ(table->slots_share("no such pool", id_of(ids, "blue", 1)), 0);
  double sum = 0;
  for (int number = 1; number <= 5; ++number) sum += table->slots_share("blue", id_of(ids, "blue", number));
  EXPECT_DOUBLE_EQ(sum, 1);
}

struct StateCase {
  std::string description;
  BackendState state;
  uint32_t weight;
  bool takes_new_flows;
  bool takes_known_flows;
};

TEST(ForwardingTable, StateAndWeightDecideAboutNewAndKnownFlows) {
  for (const StateCase& test : {StateCase{"active", BackendState::kActive, 100, true, true},
                                StateCase{"weight 0", BackendState::kActive, 0, false, true},
                                StateCase{"drain", BackendState::kDrain, 100, false, true},
                                StateCase{"down", BackendState::kDown, 100, false, false}}) {
    ForwardingIds ids;
    Services all = services();
    all.pools[0].backends[1].state = test.state;
    all.pools[0].backends[1].weight = test.weight;
    const Table table = build(all, ids);
    const BackendId id = id_of(ids, "blue", 2);
    EXPECT_EQ(shares(web(*table)).contains(id), test.takes_new_flows) << test.description;
    EXPECT_EQ(table->slots_share("blue", id) > 0, test.takes_new_flows) << test.description;
    EXPECT_EQ(table->backend(id).takes_known_flows, test.takes_known_flows) << test.description;
    EXPECT_TRUE(table->backend(id).resolved) << test.description;
  }
}

TEST(ForwardingTable, APoolThatTakesNoNewFlowsHasNoSlots) {
  for (const auto& [state, weight] :
       {std::pair{BackendState::kActive, 0u}, {BackendState::kDown, 100u}, {BackendState::kDrain, 100u}}) {
    ForwardingIds ids;
    Services all = services();
    for (Backend& member : all.pools[0].backends) member.state = state, member.weight = weight;
    const Table table = build(all, ids);
    EXPECT_EQ(web(*table).slot_count, 0u);
    EXPECT_EQ(web(*table).pick(~uint64_t{0}), kNoBackend);
    EXPECT_EQ(table->slots_share("blue", id_of(ids, "blue", 1)), 0);
    EXPECT_EQ(api(*table).slot_count, 1009u) << "the other pool goes on";
  }
  ForwardingIds ids;
  Services empty = services();
  empty.pools[0].backends.clear();
  EXPECT_EQ(web(*build(empty, ids)).pick(0), kNoBackend);
}

TEST(ForwardingTable, NobodyIsABackendThatTakesNothing) {
  ForwardingIds ids;
  const Table table = build(services(), ids);
  for (const BackendId id : std::initializer_list<BackendId>{0, 11, 65535}) {
    EXPECT_FALSE(table->backend(id).takes_known_flows) << id;
    EXPECT_FALSE(table->backend(id).resolved) << id;
  }
}

TEST(ForwardingTable, OneBackendInTwoPoolsIsTwo) {
  ForwardingIds ids;
  Services all = services();
  all.pools[1].backends[0].state = BackendState::kDown;
  const Table table = build(all, ids);
  EXPECT_NE(id_of(ids, "blue", 1), id_of(ids, "green", 1));
  EXPECT_TRUE(table->backend(id_of(ids, "blue", 1)).takes_known_flows);
  EXPECT_FALSE(table->backend(id_of(ids, "green", 1)).takes_known_flows);
}

TEST(ForwardingTable, NodesAgreeWhateverTheOrderAndHistory) {
  std::mt19937 random(32);
  ForwardingIds first_ids;
  const Table first = build(services(), first_ids);
  for (int round = 0; round < 20; ++round) {
    Services other = services();
    std::shuffle(other.vips.begin(), other.vips.end(), random);
    std::shuffle(other.pools.begin(), other.pools.end(), random);
    ForwardingIds other_ids;
    for (Pool& pool : other.pools) {
      std::shuffle(pool.backends.begin(), pool.backends.end(), random);
      for (Backend& member : pool.backends) member.name += " by another name";
      // Numbers differ between nodes; what they stand for must not.
      other_ids.backends.acquire(fmt::format("an earlier backend of {} {}", pool.name, round));
    }
    const Table second = build(other, other_ids);
    EXPECT_EQ(picks(web(*second), *second), picks(web(*first), *first));
    EXPECT_EQ(picks(api(*second), *second), picks(api(*first), *first));
  }
}

TEST(ForwardingTable, AnotherSeedIsAnotherTable) {
  ForwardingIds ids;
  Services other = services();
  other.cluster_seed = "another";
  const Table one = build(services(), ids);
  const Table two = build(other, ids, one.get());
  EXPECT_NE(one->hash_key(), two->hash_key());
  EXPECT_NE(picks(web(*one), *one), picks(web(*two), *two)) << "the earlier table must not be lent";
}

TEST(ForwardingTableRebuild, NumbersStay) {
  ForwardingIds ids;
  const Table one = build(services(), ids);
  std::map<std::string, uint16_t> before;
  for (int number = 1; number <= 5; ++number)
    before[fmt::format("blue 10.0.1.{}", number)] = id_of(ids, "blue", number);
  const uint16_t web_id = web(*one).id, api_id = api(*one).id;

  Services changed = services();
  changed.pools[0].backends.erase(changed.pools[0].backends.begin());  // b1
  changed.pools[0].backends.insert(changed.pools[0].backends.begin(), backend(77));
  std::swap(changed.vips[0], changed.vips[1]);
  changed.vips.insert(changed.vips.begin(), vip("new", "203.0.113.12", "green"));
  const Table two = build(changed, ids, one.get());
  two->release_ids(ids);

  EXPECT_EQ(web(*two).id, web_id);
  EXPECT_EQ(api(*two).id, api_id);
  for (int number = 2; number <= 5; ++number) {
    EXPECT_EQ(id_of(ids, "blue", number), before[fmt::format("blue 10.0.1.{}", number)]);
  }
  EXPECT_EQ(id_of(ids, "blue", 1), kNoBackend) << "freed";
  const BackendId removed = before["blue 10.0.1.1"];
  EXPECT_FALSE(two->backend(removed).takes_known_flows);
  EXPECT_FALSE(shares(web(*two)).contains(removed));
  EXPECT_NE(id_of(ids, "blue", 77), removed) << "flows of the removed one may still be known";
}

TEST(ForwardingTableRebuild, AnEarlierTableIsNotTouched) {
  ForwardingIds ids;
  const Table one = build(services(), ids);
  const auto picked = picks(web(*one), *one);
  const auto counted = shares(web(*one));
  Services changed = services();
  changed.pools[0].backends.resize(2);
  changed.pools[0].backends[0].state = BackendState::kDown;
  Table two = build(changed, ids, one.get());
  two->release_ids(ids);
  EXPECT_EQ(picks(web(*one), *one), picked);
  EXPECT_EQ(shares(web(*one)), counted);
  EXPECT_TRUE(one->backend(id_of(ids, "blue", 1)).takes_known_flows);
  EXPECT_FALSE(two->backend(id_of(ids, "blue", 1)).takes_known_flows);
}

TEST(ForwardingTableRebuild, LendsTheMaglevTablesOfUnchangedPools) {
  ForwardingIds ids;
  Table one = build(services(), ids);
  Services changed = services();
  std::reverse(changed.pools[1].backends.begin(), changed.pools[1].backends.end());
  changed.pools[0].backends[0].weight = 50;
  Table two = build(changed, ids, one.get());
  EXPECT_NE(web(*two).slots, web(*one).slots) << "a weight has changed";
  EXPECT_EQ(api(*two).slots, api(*one).slots) << "only the order has";

  ForwardingIds fresh_ids;
  const Table fresh = build(changed, fresh_ids);
  EXPECT_EQ(picks(web(*two), *two), picks(web(*fresh), *fresh));
  EXPECT_EQ(picks(api(*two), *two), picks(api(*fresh), *fresh));

  const auto picked = picks(api(*two), *two);
  one.reset();
  EXPECT_EQ(picks(api(*two), *two), picked) << "what was lent outlives the lender";
}

TEST(ForwardingTableRebuild, LendsNothingWhenTheTableWouldDiffer) {
  const auto differs = [](const std::string& description, const std::function<void(Services&)>& change) {
    ForwardingIds ids, fresh_ids;
    const Table one = build(services(), ids);
    Services changed = services();
    change(changed);
    const Table two = build(changed, ids, one.get());
    const Table fresh = build(changed, fresh_ids);
    EXPECT_NE(web(*two).slots, web(*one).slots) << description;
    EXPECT_EQ(picks(web(*two), *two), picks(web(*fresh), *fresh)) << description;
  };
  differs("size", [](Services& all) { all.pools[0].maglev_size = 2003; });
  differs("drain", [](Services& all) { all.pools[0].backends[0].state = BackendState::kDrain; });
  differs("down", [](Services& all) { all.pools[0].backends[0].state = BackendState::kDown; });
  differs("weight", [](Services& all) { all.pools[0].backends[0].weight = 0; });
  differs("another address", [](Services& all) { all.pools[0].backends[0].address = ip("10.9.9.9"); });
  differs("one more", [](Services& all) { all.pools[0].backends.push_back(backend(6)); });
  differs("seed", [](Services& all) { all.cluster_seed = "another"; });
}

TEST(ForwardingTableRebuild, ANewWayOutKeepsTheSlots) {
  ForwardingIds ids;
  const Table one = build(services(), ids, nullptr, [](const Backend&) { return std::nullopt; });
  const Table two = build(services(), ids, one.get());
  EXPECT_EQ(web(*two).slots, web(*one).slots);
  EXPECT_FALSE(one->backend(id_of(ids, "blue", 1)).resolved);
  EXPECT_TRUE(two->backend(id_of(ids, "blue", 1)).resolved);
}

TEST(ForwardingTable, IdleTimeoutsAreRoundedUpToTicksAndKeptInRange) {
  const std::vector<std::pair<int64_t, FlowTick>> cases = {{-5, 1},
                                                           {0, 1},
                                                           {1, 1},
                                                           {2, 1},
                                                           {3, 2},
                                                           {60, 30},
                                                           {61, 31},
                                                           {7199, 3600},
                                                           {7200, 3600},
                                                           {7201, 3600},
                                                           {1'000'000'000, 3600}};
  for (const auto& [seconds, ticks] : cases) {
    ForwardingIds ids;
    Services all = services();
    all.vips[0].idle_timeout = std::chrono::seconds(seconds);
    all.vips[1].idle_timeout = std::chrono::seconds(20);
    const Table table = build(all, ids);
    EXPECT_EQ(web(*table).idle_timeout, ticks) << seconds;
    EXPECT_EQ(table->longest_idle_timeout(), std::max<FlowTick>(ticks, 10)) << seconds;
  }
}

TEST(ForwardingTable, EmptyServicesAreATableThatFindsNothing) {
  ForwardingIds ids;
  const Table table = build({}, ids);
  EXPECT_EQ(table->vip_lookup().find({AddressWords::of(ip("203.0.113.10")), Family::kIpv4, 6, Be16(443)}),
            VipLookup::kNone);
  EXPECT_FALSE(table->backend(1).takes_known_flows);
  EXPECT_EQ(table->longest_idle_timeout(), 0);
}

TEST(ForwardingTableErrors, NameThePoolOrVip) {
  Services no_pool = services();
  no_pool.vips[1].pool = "red";
  EXPECT_THAT(error_of(no_pool), AllOf(HasSubstr("'api'"), HasSubstr("'red'")));

  Services not_prime = services();
  not_prime.pools[1].maglev_size = 1000;
  EXPECT_THAT(error_of(not_prime), AllOf(HasSubstr("'green'"), HasSubstr("1000")));

  Services twice = services();
  twice.pools[0].backends[1].address = twice.pools[0].backends[0].address;
  EXPECT_THAT(error_of(twice), AllOf(HasSubstr("'blue'"), HasSubstr("10.0.1.1")));

  Services heavy = services();
  heavy.pools[0].backends[0].weight = kMaxWeight + 1;
  EXPECT_THAT(error_of(heavy), AllOf(HasSubstr("'blue'"), HasSubstr("65536")));
}

TEST(ForwardingTableErrors, SayHowManyThereMayBe) {
  Services vips = services();
  for (int i = 0; i < ForwardingIds::kMaxVips; ++i) {
    vips.vips.push_back(vip(fmt::format("v{}", i), "203.0.113.10", "blue"));
  }
  EXPECT_THAT(error_of(vips), HasSubstr("more than 16384 VIPs"));

  Services backends = services();
  backends.pools.resize(1);
  for (uint32_t i = 0; i < ForwardingIds::kMaxBackends; ++i) {
    Backend drained = backend(1);
    drained.state = BackendState::kDrain;
    drained.address = IpAddress::v4(10, 1, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i));
    backends.pools[0].backends.push_back(drained);
  }
  EXPECT_THAT(error_of(backends), AllOf(HasSubstr("'blue'"), HasSubstr("more than 65535 backends")));
}

TEST(ForwardingTableErrors, LeaveTheEarlierTableInUse) {
  ForwardingIds ids;
  const Table one = build(services(), ids);
  const auto picked = picks(web(*one), *one);
  Services broken = services();
  broken.pools[0].backends.push_back(backend(99));
  broken.pools[1].maglev_size = 1000;
  EXPECT_FALSE(ForwardingTable::build(broken, resolved, ids, one.get()));
  EXPECT_EQ(picks(web(*one), *one), picked);
  one->release_ids(ids);
  EXPECT_EQ(id_of(ids, "blue", 99), kNoBackend) << "the number that the failed build took is free again";
  EXPECT_NE(id_of(ids, "blue", 1), kNoBackend);
}

}  // namespace
}  // namespace sluice
