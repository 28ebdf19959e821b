#include "lb/maglev.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "lb/maglev_fill.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Table = std::vector<uint16_t>;

constexpr SipKey kSeed = cluster_key("maglev test");

IpAddress address_of(uint32_t i) {
  return IpAddress::v4(10, static_cast<uint8_t>(i >> 16), static_cast<uint8_t>(i >> 8),
                       static_cast<uint8_t>(i));
}

std::vector<MaglevEntry> make_pool(const std::vector<uint32_t>& weights) {
  std::vector<MaglevEntry> pool;
  for (uint32_t i = 0; i < weights.size(); ++i)
    pool.push_back({address_of(i), weights[i], static_cast<uint16_t>(i)});
  return pool;
}

std::vector<MaglevEntry> make_equal_pool(size_t backends) {
  return make_pool(std::vector<uint32_t>(backends, 100));
}

Table build(const std::vector<MaglevEntry>& pool, uint32_t size, const SipKey& seed = kSeed) {
  auto table = build_maglev(pool, size, seed);
  EXPECT_TRUE(table.has_value()) << (table ? "" : table.error().message);
  return table.value_or(Table());
}

std::string error_of(const std::vector<MaglevEntry>& pool, uint32_t size) {
  const auto table = build_maglev(pool, size, kSeed);
  return table ? "built" : table.error().message;
}

std::map<uint16_t, size_t> count_slots(const Table& table) {
  std::map<uint16_t, size_t> counts;
  for (const uint16_t id : table) ++counts[id];
  return counts;
}

uint64_t sum_of(const std::vector<uint32_t>& weights) {
  return std::accumulate(weights.begin(), weights.end(), uint64_t{0});
}

// Shares by largest remainder, then round by round over everybody, then probe by probe: slow and plain.
// `pool` is in the order of identities.
Table build_by_the_textbook(const std::vector<MaglevEntry>& pool, uint32_t size, const SipKey& seed) {
  struct State {
    uint16_t id;
    uint64_t weight;
    uint64_t next;
    uint64_t skip;
    uint64_t share;
    uint64_t turns = 0;
  };
  std::vector<State> states;
  uint64_t sum = 0;
  uint64_t max_weight = 0;
  for (const MaglevEntry& entry : pool) {
    if (entry.weight == 0) continue;
    const MaglevPermutation p = maglev_permutation(entry.identity, size, seed);
    states.push_back({entry.id, entry.weight, p.offset, p.skip, 0});
    sum += entry.weight;
    max_weight = std::max<uint64_t>(max_weight, entry.weight);
  }
  std::vector<size_t> by_remainder(states.size());
  std::iota(by_remainder.begin(), by_remainder.end(), size_t{0});
  std::ranges::stable_sort(by_remainder, std::ranges::greater(),
                           [&](size_t i) { return size * states[i].weight % sum; });
  uint64_t left = size;
  for (State& s : states) left -= s.share = size * s.weight / sum;
  for (uint64_t i = 0; i < left; ++i) ++states[by_remainder[i]].share;

  Table table(size);
  std::vector<bool> taken(size);
  uint32_t filled = 0;
  for (uint64_t round = 1; filled < size; ++round) {
    for (State& s : states) {
      const uint64_t due = (2 * round * s.weight + max_weight) / (2 * max_weight);  // rounded to nearest
      if (s.turns >= std::min(due, s.share)) continue;
      while (taken[s.next]) s.next = (s.next + s.skip) % size;
      taken[s.next] = true;
      table[s.next] = s.id;
      ++s.turns;
      ++filled;
    }
  }
  return table;
}

// The paper's pseudocode 1, nothing added.
Table build_by_the_paper(const std::vector<MaglevEntry>& pool, uint32_t size, const SipKey& seed) {
  std::vector<uint64_t> next(pool.size(), 0);
  std::vector<int> entry(size, -1);
  for (uint32_t n = 0;;) {
    for (size_t i = 0; i < pool.size(); ++i) {
      const MaglevPermutation p = maglev_permutation(pool[i].identity, size, seed);
      const auto permutation = [&](uint64_t j) { return (p.offset + j * p.skip) % size; };
      uint64_t c = permutation(next[i]);
      while (entry[c] >= 0) c = permutation(++next[i]);
      entry[c] = pool[i].id;
      ++next[i];
      if (++n == size) return {entry.begin(), entry.end()};
    }
  }
}

TEST(Maglev, FillsTheExampleOfThePaper) {
  // Table 1 of the paper: permutations (3,0,4,1,5,2,6), (0,2,4,6,1,3,5) and (3,4,5,6,0,1,2).
  const std::vector<MaglevPermutation> permutations = {{3, 4}, {0, 2}, {3, 1}};
  const Table turns = {0, 1, 2, 0, 1, 2, 0};
  EXPECT_EQ(fill_maglev(permutations, turns), (Table{1, 0, 1, 0, 2, 2, 0}));
}

TEST(Maglev, IsThePapersAlgorithmForEqualWeights) {
  for (const size_t backends : {1u, 2u, 7u, 16u, 100u, 251u}) {
    for (const uint32_t size : {251u, 1009u, 4099u}) {
      const auto pool = make_equal_pool(backends);
      EXPECT_EQ(build(pool, size), build_by_the_paper(pool, size, kSeed)) << backends << " in " << size;
    }
  }
  const auto pool = make_equal_pool(1000);
  EXPECT_EQ(build(pool, 65537), build_by_the_paper(pool, 65537, kSeed));
}

TEST(Maglev, IsTheTextbooksTableForRandomWeightsAndSizes) {
  std::mt19937 random(1);
  const auto below = [&random](uint32_t bound) { return static_cast<uint32_t>(random() % bound); };
  const std::vector<uint32_t> sizes = {251, 257, 509, 1009, 4099, 16411, 65537};
  for (int trial = 0; trial < 300; ++trial) {
    const uint32_t size = sizes[below(static_cast<uint32_t>(sizes.size()))];
    const uint32_t max_weight = std::vector<uint32_t>{1, 2, 10, 1000, 65535}[below(5)];
    std::vector<uint32_t> weights(1 + below(std::min(size, 400u)));
    for (uint32_t& weight : weights) weight = below(max_weight + 1);
    if (sum_of(weights) == 0) weights[0] = 1;
    const auto pool = make_pool(weights);
    const SipKey seed{random(), random()};
    ASSERT_EQ(build(pool, size, seed), build_by_the_textbook(pool, size, seed))
        << "trial " << trial << ": " << weights.size() << " backends to weight " << max_weight << " in "
        << size;
  }
}

TEST(Maglev, IsTheTextbooksTableAtTheLargestSize) {
  std::mt19937 random(2);
  std::vector<uint32_t> weights(300);
  for (uint32_t& weight : weights) weight = static_cast<uint32_t>(random() % 1000);
  const auto pool = make_pool(weights);
  // Not EXPECT_EQ: five million numbers say nothing.
  EXPECT_TRUE(build(pool, kMaxMaglevSize) == build_by_the_textbook(pool, kMaxMaglevSize, kSeed));
}

TEST(Maglev, WeighsOneHeavyAgainstManyLightWithoutARoundPerUnitOfWeight) {
  std::vector<uint32_t> weights(1000, 1);
  weights[500] = 65535;
  const auto pool = make_pool(weights);
  const Table table = build(pool, 65537);
  EXPECT_EQ(table, build_by_the_textbook(pool, 65537, kSeed));
  EXPECT_NEAR(static_cast<double>(count_slots(table)[500]), 65537.0 * 65535 / 66534, 1);
}

// Section 5.3, figure 11: how uneven 1 000 equal backends are. The paper compares the most and the least
// loaded backend with the average; Maglev's turns make them equal to one slot, whatever the hash.
TEST(Maglev, IsAsEvenAsThePaperSaysFor1000Backends) {
  for (const uint32_t size : {65537u, 655373u}) {
    const auto counts = count_slots(build(make_equal_pool(1000), size));
    ASSERT_EQ(counts.size(), 1000u);
    const auto [least, most] =
        std::ranges::minmax_element(counts, {}, [](const auto& count) { return count.second; });
    EXPECT_EQ(least->second, size / 1000);
    EXPECT_EQ(most->second, size / 1000 + 1);
    const double average = size / 1000.0;
    // 66 to 65.5 slots and 656 to 655.4: 0.8 % and 0.1 % over-provisioning.
    EXPECT_LE(static_cast<double>(most->second) / average, size == 65537 ? 1.008 : 1.001);
    EXPECT_GE(static_cast<double>(least->second) / average, size == 65537 ? 0.991 : 0.999);
  }
}

// Share of the slots of surviving backends that change owner when `removed` of 1 000 go.
double disruption(uint32_t size, size_t removed, uint32_t seed) {
  auto pool = make_equal_pool(1000);
  const Table before = build(pool, size);
  std::mt19937 random(seed);
  std::ranges::shuffle(pool, random);
  std::set<uint16_t> gone;
  for (size_t i = 0; i < removed; ++i) gone.insert(pool[i].id);
  pool.erase(pool.begin(), pool.begin() + static_cast<ptrdiff_t>(removed));
  const Table after = build(pool, size);
  size_t surviving = 0;
  size_t changed = 0;
  for (uint32_t slot = 0; slot < size; ++slot) {
    if (gone.contains(before[slot])) {
      EXPECT_FALSE(gone.contains(after[slot]));
      continue;
    }
    ++surviving;
    changed += before[slot] != after[slot];
  }
  return static_cast<double>(changed) / static_cast<double>(surviving);
}

struct Disruption {
  size_t removed;
  double at_65537;
  double at_655373;
};

class MaglevDisruption : public ::testing::TestWithParam<Disruption> {};

// Section 5.3, figure 12: 1 000 backends, a share of them fails at once, averages of several runs.
TEST_P(MaglevDisruption, StaysAsSmallAsInThePaper) {
  const auto average = [](uint32_t size) {
    return (disruption(size, GetParam().removed, 1) + disruption(size, GetParam().removed, 2)) / 2;
  };
  const double small = average(65537);
  const double large = average(655373);
  RecordProperty("changed_at_65537", fmt::format("{:.5f}", small));
  RecordProperty("changed_at_655373", fmt::format("{:.5f}", large));
  EXPECT_LE(small, GetParam().at_65537);
  EXPECT_LE(large, GetParam().at_655373);
  EXPECT_GT(small, large);
}

INSTANTIATE_TEST_SUITE_P(OfThousand, MaglevDisruption,
                         ::testing::Values(Disruption{1, 0.012, 0.005}, Disruption{5, 0.024, 0.007},
                                           Disruption{10, 0.03, 0.008}, Disruption{20, 0.035, 0.009},
                                           Disruption{50, 0.045, 0.012}),
                         [](const auto& param) { return fmt::format("{}Removed", param.param.removed); });

TEST(Maglev, GivesAHeavyBackendItsShare) {
  auto counts = count_slots(build(make_pool({10, 1, 1, 1, 1, 1, 1, 1, 1, 1}), 65537));
  EXPECT_EQ(counts[0], 34493u);  // 65537 * 10 / 19 = 34493.2, 52.6 %
  for (uint16_t light = 1; light < 10; ++light) EXPECT_NEAR(static_cast<double>(counts[light]), 3449.3, 1);
}

TEST(Maglev, GivesEveryBackendItsShareToLessThanOneSlot) {
  std::mt19937 random(3);
  for (const uint32_t max_weight : {3u, 100u, 65535u}) {
    std::vector<uint32_t> weights(300);
    for (uint32_t& weight : weights) weight = static_cast<uint32_t>(random() % (max_weight + 1));
    auto counts = count_slots(build(make_pool(weights), 65537));
    for (uint16_t id = 0; id < weights.size(); ++id) {
      const double exact = 65537.0 * weights[id] / static_cast<double>(sum_of(weights));
      EXPECT_LT(std::abs(static_cast<double>(counts[id]) - exact), 1) << "weight " << weights[id];
    }
  }
}

TEST(Maglev, DependsOnProportionsOnly) {
  EXPECT_EQ(build(make_pool({1, 2, 3, 4}), 4099), build(make_pool({1000, 2000, 3000, 4000}), 4099));
}

TEST(Maglev, GivesWeightZeroNothingAndIsTheTableWithoutIt) {
  const auto pool = make_pool({100, 0, 100, 50});
  auto without = pool;
  without.erase(without.begin() + 1);
  const Table table = build(pool, 4099);
  EXPECT_EQ(count_slots(table).count(1), 0u);
  EXPECT_EQ(table, build(without, 4099));
}

TEST(Maglev, MovesFewSlotsOfOthersWhenABackendDrains) {
  std::vector<uint32_t> weights(100, 100);
  const Table before = build(make_pool(weights), 65537);
  weights[42] = 0;
  const Table after = build(make_pool(weights), 65537);
  size_t changed = 0;
  for (size_t slot = 0; slot < before.size(); ++slot)
    changed += before[slot] != 42 && before[slot] != after[slot];
  EXPECT_LT(changed, 65537u / 100);  // less than 1 % of the others, who take over 1 %
}

TEST(Maglev, GivesASingleBackendEverySlot) {
  EXPECT_EQ(build({{address_of(1), 7, 4711}}, 251), Table(251, 4711));
}

TEST(Maglev, HasNoSlotsWithoutABackendOfWeight) {
  EXPECT_EQ(build({}, 251), Table());
  EXPECT_EQ(build(make_pool({0, 0}), 251), Table());
}

TEST(Maglev, DoesNotDependOnTheOrderOfInsertion) {
  std::mt19937 random(4);
  std::vector<uint32_t> weights(200);
  for (uint32_t& weight : weights) weight = static_cast<uint32_t>(random() % 10);
  auto pool = make_pool(weights);
  pool.push_back({IpAddress::parse("2001:db8::1").value(), 5, 1000});
  pool.push_back({IpAddress::parse("::ffff:10.0.0.1").value(), 5, 1001});  // not the IPv4 address 10.0.0.1
  const Table table = build(pool, 4099);
  for (int i = 0; i < 10; ++i) {
    std::ranges::shuffle(pool, random);
    EXPECT_EQ(build(pool, 4099), table);
  }
}

TEST(Maglev, WritesTheCallersIdsWhateverTheyAre) {
  auto pool = make_equal_pool(3);
  const Table table = build(pool, 251);
  for (MaglevEntry& entry : pool) entry.id = static_cast<uint16_t>(60000 - entry.id);
  Table renamed = build(pool, 251);
  for (uint16_t& id : renamed) id = static_cast<uint16_t>(60000 - id);
  EXPECT_EQ(renamed, table);
}

TEST(Maglev, IsAnotherTableForAnotherSeed) {
  const auto pool = make_equal_pool(100);
  const Table one = build(pool, 65537, cluster_key("one"));
  const Table two = build(pool, 65537, cluster_key("two"));
  size_t same = 0;
  for (size_t slot = 0; slot < one.size(); ++slot) same += one[slot] == two[slot];
  EXPECT_NEAR(static_cast<double>(same), 655, 130);  // one in a hundred by chance; deviation 25
}

TEST(Maglev, NeverChangesFromReleaseToRelease) {
  // Nodes of two releases in one cluster must agree: this number may change with a migration plan only.
  const Table table = build(make_pool({10, 1, 1, 1, 1, 1, 1, 1, 1, 1}), 65537, cluster_key("edge-1"));
  std::vector<uint8_t> bytes;
  for (const uint16_t id : table) bytes.push_back(static_cast<uint8_t>(id));
  EXPECT_EQ((siphash<2, 4>(SipKey{}, bytes)), 0x4127cb85b1393d9du);
}

TEST(Maglev, AcceptsAsManyBackendsAsSlots) {
  const auto counts = count_slots(build(make_equal_pool(251), 251));
  EXPECT_EQ(counts.size(), 251u);
}

TEST(MaglevSize, IsAPrimeFrom251To5000011) {
  for (const uint32_t size : {251u, 257u, 65537u, 655373u, 5000011u})
    EXPECT_TRUE(check_maglev_size(size)) << size;
  for (const uint32_t size : {0u, 1u, 2u, 241u, 252u, 65536u, 65539u * 3, 255025u, 5000077u, 4294967291u})
    EXPECT_FALSE(check_maglev_size(size)) << size;
}

TEST(MaglevSize, ErrorNamesTheNearestPrimes) {
  EXPECT_THAT(error_of(make_equal_pool(2), 65536), AllOf(HasSubstr("65536"), HasSubstr("65521 and 65537")));
  EXPECT_THAT(error_of(make_equal_pool(2), 100), AllOf(HasSubstr("100"), HasSubstr("nearest accepted: 251")));
  EXPECT_THAT(error_of(make_equal_pool(2), 6000000), HasSubstr("nearest accepted: 5000011"));
}

TEST(MaglevErrors, NameTheBackendListedTwice) {
  auto pool = make_equal_pool(5);
  pool.push_back(pool[3]);
  EXPECT_THAT(error_of(pool, 251), AllOf(HasSubstr("10.0.0.3"), HasSubstr("twice")));
  pool[3].weight = 0;
  EXPECT_THAT(error_of(pool, 251), AllOf(HasSubstr("10.0.0.3"), HasSubstr("twice")));
}

TEST(MaglevErrors, NameTheWeightAndTheRange) {
  EXPECT_THAT(error_of(make_pool({1, 65536}), 251),
              AllOf(HasSubstr("10.0.0.1"), HasSubstr("65536"), HasSubstr("0..65535")));
  EXPECT_EQ(error_of(make_pool({1, 65535}), 251), "built");
}

TEST(MaglevErrors, RefuseMoreBackendsThanSlotsOrIds) {
  EXPECT_THAT(error_of(make_equal_pool(252), 251), AllOf(HasSubstr("252"), HasSubstr("251")));
  auto mostly_idle = make_equal_pool(252);
  mostly_idle[7].weight = 0;
  EXPECT_EQ(error_of(mostly_idle, 251), "built");
  EXPECT_THAT(error_of(make_equal_pool(65536), kMaxMaglevSize),
              AllOf(HasSubstr("65536"), HasSubstr("65535")));
}

}  // namespace
}  // namespace sluice
