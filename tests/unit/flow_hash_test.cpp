#include "lb/flow_hash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

namespace sluice {
namespace {

constexpr SipKey kKey = cluster_key("example");

IpAddress ip(std::string_view text) {
  return IpAddress::parse(text).value();
}

FiveTuple tuple(std::string_view source, std::string_view destination, uint16_t source_port,
                uint16_t destination_port, uint8_t protocol) {
  return {ip(source), ip(destination), Be16(source_port), Be16(destination_port), protocol};
}

// Computed from docs/flow-hash.md by a program that shares nothing with this tree. A change here is a cluster
// whose old and new nodes disagree about every flow.
TEST(FlowHash, IsWhatTheDocumentSays) {
  EXPECT_EQ(kKey, (SipKey{0x000433fb99dd77e2u, 0xc772049de669acadu}));
  EXPECT_EQ(flow_hash(kKey, tuple("198.51.100.7", "203.0.113.10", 40000, 443, 6)), 0x40c7c378d7df580au);
  EXPECT_EQ(flow_hash(kKey, tuple("198.51.100.7", "203.0.113.10", 40000, 443, 17)), 0x509018d3df462da0u);
  EXPECT_EQ(flow_hash(kKey, tuple("2001:db8:c::7", "2001:db8:f::10", 40000, 443, 6)), 0x90ef9752089c14ddu);
  EXPECT_EQ(flow_hash(kKey, tuple("0.0.0.0", "0.0.0.0", 0, 0, 0)), 0xdf4d22119c1eb3e4u);
  EXPECT_EQ(flow_hash(kKey, tuple("::", "::", 0, 0, 0)), 0x0ee7bdd93049df04u);
}

TEST(FlowHash, TellsTheDirectionsAndFamiliesOfAFlowApart) {
  const auto there = flow_hash(kKey, tuple("198.51.100.7", "203.0.113.10", 40000, 443, 6));
  EXPECT_NE(flow_hash(kKey, tuple("203.0.113.10", "198.51.100.7", 443, 40000, 6)), there);
  EXPECT_NE(flow_hash(kKey, tuple("198.51.100.7", "203.0.113.10", 443, 40000, 6)), there);
  EXPECT_NE(flow_hash(kKey, tuple("::ffff:198.51.100.7", "::ffff:203.0.113.10", 40000, 443, 6)), there);
}

/// For those who wait for the whole burst.
constexpr auto ignore = [](uint64_t) {};

/// The bytes of a tuple as they lie in packets, without a word of the code under test.
template <uint32_t kWords>
using Message = std::array<uint8_t, FlowLanes<kWords>::kMessageBytes>;

FiveTuple tuple_of(const Message<2>& m) {
  return {IpAddress::v4(m.data()), IpAddress::v4(m.data() + 4), Be16(static_cast<uint16_t>(m[8] << 8 | m[9])),
          Be16(static_cast<uint16_t>(m[10] << 8 | m[11])), m[12]};
}
FiveTuple tuple_of(const Message<5>& m) {
  IpAddress::Bytes source, destination;
  std::copy_n(m.begin(), 16, source.begin());
  std::copy_n(m.begin() + 16, 16, destination.begin());
  return {IpAddress::v6(source), IpAddress::v6(destination), Be16(static_cast<uint16_t>(m[32] << 8 | m[33])),
          Be16(static_cast<uint16_t>(m[34] << 8 | m[35])), m[36]};
}

template <uint32_t kWords>
void set_lane(FlowLanes<kWords>& lanes, uint32_t lane, const Message<kWords>& message) {
  std::array<uint8_t, kWords * 8> padded{};
  std::copy(message.begin(), message.end(), padded.begin());
  for (uint32_t w = 0; w < kWords; ++w) std::memcpy(&lanes.words[w][lane], padded.data() + 8 * w, 8);
}

template <typename Words>
class FlowLanesOf : public ::testing::Test {
 protected:
  static constexpr uint32_t kFamilyWords = Words::value;
  std::mt19937_64 random{20260301};

  Message<kFamilyWords> any_message() {
    Message<kFamilyWords> message;
    for (uint8_t& byte : message) byte = static_cast<uint8_t>(random());
    return message;
  }
};
struct Ipv4Words : std::integral_constant<uint32_t, 2> {};
struct Ipv6Words : std::integral_constant<uint32_t, 5> {};
struct FamilyName {
  template <typename Words>
  static std::string GetName(int) {
    return Words::value == 2 ? "Ipv4" : "Ipv6";
  }
};
using Families = ::testing::Types<Ipv4Words, Ipv6Words>;
TYPED_TEST_SUITE(FlowLanesOf, Families, FamilyName);

TYPED_TEST(FlowLanesOf, HashesABurstAsItsFlowsOneByOne) {
  constexpr uint32_t kWords = TestFixture::kFamilyWords;
  for (uint32_t count = 0; count <= FlowLanes<kWords>::kMaxFlows; ++count) {
    FlowLanes<kWords> lanes;
    std::vector<uint64_t> expected;
    const SipKey key{this->random(), this->random()};
    for (auto& words : lanes.words)
      for (uint64_t& word : words) word = this->random();  // lanes behind `count` hold anything
    for (uint32_t i = 0; i < count; ++i) {
      const auto message = this->any_message();
      set_lane<kWords>(lanes, i, message);
      expected.push_back(flow_hash(key, tuple_of(message)));
    }
    std::vector<uint64_t> told;
    lanes.hash_all(key, count, [&](uint64_t hash) { told.push_back(hash); });
    for (uint32_t i = 0; i < count; ++i) ASSERT_EQ(lanes.hashes[i], expected[i]) << i << " of " << count;
    ASSERT_EQ(told, expected) << "each hash of the burst is told once, in order";
  }
}

TYPED_TEST(FlowLanesOf, LeaveTheHashesBehindTheLastGroupOfEightAlone) {
  constexpr uint32_t kWords = TestFixture::kFamilyWords;
  constexpr uint32_t kLanes = FlowLanes<kWords>::kMaxFlows;
  FlowLanes<kWords> lanes{};
  for (uint32_t count = 0; count < kLanes; ++count) {
    std::fill_n(lanes.hashes, kLanes, 0x5a5a5a5a5a5a5a5au);
    lanes.hash_all(kKey, count, ignore);
    for (uint32_t i = (count + 7) / 8 * 8; i < kLanes; ++i) ASSERT_EQ(lanes.hashes[i], 0x5a5a5a5a5a5a5a5au);
  }
}

TYPED_TEST(FlowLanesOf, EveryInputBitFlipsEveryOutputBitHalfTheTime) {
  constexpr uint32_t kWords = TestFixture::kFamilyWords;
  constexpr uint32_t kLanes = FlowLanes<kWords>::kMaxFlows;
  constexpr uint32_t kTrials = 8192;
  constexpr size_t kBits = FlowLanes<kWords>::kMessageBytes * 8;
  std::vector<std::array<uint32_t, 64>> flips(kBits);
  FlowLanes<kWords> before, after;
  for (uint32_t trial = 0; trial < kTrials; trial += kLanes) {
    for (uint32_t i = 0; i < kLanes; ++i) set_lane<kWords>(before, i, this->any_message());
    before.hash_all(kKey, kLanes, ignore);
    for (size_t bit = 0; bit < kBits; ++bit) {
      std::memcpy(after.words, before.words, sizeof after.words);
      for (uint64_t& word : after.words[bit / 64]) word ^= uint64_t{1} << (bit % 64);
      after.hash_all(kKey, kLanes, ignore);
      for (uint32_t i = 0; i < kLanes; ++i) {
        const uint64_t changed = before.hashes[i] ^ after.hashes[i];
        for (size_t out = 0; out < 64; ++out) flips[bit][out] += static_cast<uint32_t>(changed >> out & 1);
      }
    }
  }
  // Of up to 19 000 pairs of bits none may be off by 6 standard deviations, nor may their spread be wider
  // than that of coins.
  const double deviation = std::sqrt(0.25 / kTrials);
  double squares = 0;
  for (size_t bit = 0; bit < kBits; ++bit) {
    for (size_t out = 0; out < 64; ++out) {
      const double off = flips[bit][out] / static_cast<double>(kTrials) - 0.5;
      EXPECT_LT(std::abs(off), 6 * deviation) << "input bit " << bit << ", output bit " << out;
      squares += off * off;
    }
  }
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(kBits * 64)) / deviation, 1.0, 0.05);
}

/// How far counts are from even, in standard deviations of the chi-square distribution.
double unevenness(const std::vector<uint32_t>& counts, double total) {
  const double expected = total / static_cast<double>(counts.size());
  double chi_square = 0;
  for (const uint32_t count : counts) chi_square += (count - expected) * (count - expected) / expected;
  const double freedom = static_cast<double>(counts.size()) - 1;
  return (chi_square - freedom) / std::sqrt(2 * freedom);
}

/// Hashes of what real traffic looks like: few bits of the tuple differ.
std::vector<uint64_t> hashes_of_neighbours() {
  std::vector<uint64_t> hashes;
  FlowLanesIpv4 lanes;
  uint32_t lane = 0;
  for (uint32_t client = 0; client < 32; ++client) {
    for (uint32_t port = 32768; port < 61000; port += 2) {  // Linux takes even ports first
      const Message<2> message = {198, 51,  100, static_cast<uint8_t>(client),    203,
                                  0,   113, 10,  static_cast<uint8_t>(port >> 8), static_cast<uint8_t>(port),
                                  1,   187, 6};
      set_lane<2>(lanes, lane, message);
      if (++lane == FlowLanesIpv4::kMaxFlows) {
        lanes.hash_all(kKey, lane, ignore);
        hashes.insert(hashes.end(), lanes.hashes, lanes.hashes + lane);
        lane = 0;
      }
    }
  }
  return hashes;
}

TEST(FlowHash, SpreadsNeighbouringFlowsEvenlyOverSlotsBucketsAndBoth) {
  const auto hashes = hashes_of_neighbours();
  const auto total = static_cast<double>(hashes.size());
  ASSERT_GT(total, 400'000);
  constexpr uint32_t kSlots = 1009, kBuckets = 1024, kCoarse = 32;
  std::vector<uint32_t> slots(kSlots), buckets(kBuckets), both(kCoarse * kCoarse), signatures(4096);
  for (const uint64_t hash : hashes) {
    ++slots[((hash >> 32) * kSlots) >> 32];
    ++buckets[hash % kBuckets];
    ++both[(((hash >> 32) * kCoarse) >> 32) * kCoarse + hash % kCoarse];
    ++signatures[hash >> 28 & 0xfff];
  }
  EXPECT_LT(std::abs(unevenness(slots, total)), 5);
  EXPECT_LT(std::abs(unevenness(buckets, total)), 5);
  EXPECT_LT(std::abs(unevenness(both, total)), 5) << "slot and bucket must not go together";
  EXPECT_LT(std::abs(unevenness(signatures, total)), 5);
}

TEST(FlowHash, EveryBitOfTheKeyMatters) {
  const FiveTuple flow = tuple("198.51.100.7", "203.0.113.10", 40000, 443, 6);
  const uint64_t before = flow_hash(kKey, flow);
  for (int bit = 0; bit < 64; ++bit) {
    EXPECT_NE(flow_hash({kKey.k0 ^ uint64_t{1} << bit, kKey.k1}, flow), before);
    EXPECT_NE(flow_hash({kKey.k0, kKey.k1 ^ uint64_t{1} << bit}, flow), before);
  }
}

}  // namespace
}  // namespace sluice
