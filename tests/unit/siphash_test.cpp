#include "lb/siphash.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <set>
#include <string>
#include <vector>

namespace sluice {
namespace {

// The key of the reference vectors: bytes 00 01 .. 0f.
constexpr SipKey kVectorKey{0x0706050403020100u, 0x0f0e0d0c0b0a0908u};

std::vector<uint8_t> counting_bytes(size_t length) {
  std::vector<uint8_t> bytes(length);
  for (size_t i = 0; i < length; ++i) bytes[i] = static_cast<uint8_t>(i);
  return bytes;
}

// vectors.h of the authors' reference code; entry 15 is the worked example of the paper's appendix A.
constexpr std::array<uint64_t, 16> kSipHash24 = {
    0x726fdb47dd0e0e31u, 0x74f839c593dc67fdu, 0x0d6c8009d9a94f5au, 0x85676696d7fb7e2du,
    0xcf2794e0277187b7u, 0x18765564cd99a68du, 0xcbc9466e58fee3ceu, 0xab0200f58b01d137u,
    0x93f5f5799a932462u, 0x9e0082df0ba9e4b0u, 0x7a5dbbc594ddb9f3u, 0xf4b32f46226bada7u,
    0x751e8fbc860ee5fbu, 0x14ea5627c0843d90u, 0xf723ca908e7af2eeu, 0xa129ca6149be45e5u,
};

TEST(SipHash, Gives2And4RoundsThePublishedVectors) {
  for (size_t length = 0; length < kSipHash24.size(); ++length)
    EXPECT_EQ((siphash<2, 4>(kVectorKey, counting_bytes(length))), kSipHash24[length]) << "length " << length;
}

TEST(SipHash, Gives1And3RoundsThePublishedVectors) {
  // The first two of the SipHash-1-3 table that the Rust standard library tests itself with.
  EXPECT_EQ((siphash<1, 3>(kVectorKey, counting_bytes(0))), 0xabac0158050fc4dcu);
  EXPECT_EQ((siphash<1, 3>(kVectorKey, counting_bytes(1))), 0xc9f49bf37d57ca93u);
}

TEST(SipHash, OfWordsIsThatOfTheirLittleEndianBytes) {
  const std::vector<uint64_t> words = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u, 0x1716151413121110u};
  for (size_t count = 0; count <= words.size(); ++count) {
    EXPECT_EQ((siphash<2, 4>(kVectorKey, std::span(words).first(count))),
              (siphash<2, 4>(kVectorKey, counting_bytes(8 * count))));
  }
}

TEST(SipHash, OfTextIsThatOfItsBytesAlsoAbove127) {
  const std::string text = "\xff\x80 edge of a char";
  EXPECT_EQ((siphash<2, 4>(kVectorKey, std::string_view(text))),
            (siphash<2, 4>(kVectorKey, std::vector<uint8_t>(text.begin(), text.end()))));
}

TEST(SipHash, LanesOfAVectorHashAsScalarsDo) {
  typedef uint64_t Lanes __attribute__((vector_size(32)));
  const Lanes first = {1, 2, 3, ~uint64_t{0}};
  const Lanes second = {5, 6, 7, 8};
  SipState<Lanes> state;
  sip_init(state, kVectorKey);
  sip_absorb<1>(state, first);
  sip_absorb<1>(state, second);
  sip_absorb<1>(state, Lanes{} ^ sip_last_word(16));
  Lanes hash;
  sip_finish<3>(state, hash);
  for (size_t lane = 0; lane < 4; ++lane) {
    const std::array<uint64_t, 2> words = {first[lane], second[lane]};
    EXPECT_EQ(hash[lane], (siphash<1, 3>(kVectorKey, std::span<const uint64_t>(words))));
  }
}

TEST(SipHash, OneBitOfTheInputFlipsHalfTheOutput) {
  double flipped = 0;
  int trials = 0;
  for (uint64_t start = 0; start < 64; ++start) {
    std::array<uint64_t, 2> words = {start, ~start};
    const uint64_t before = siphash<1, 3>(kVectorKey, std::span<const uint64_t>(words));
    for (size_t bit = 0; bit < 128; ++bit, ++trials) {
      words[bit / 64] ^= uint64_t{1} << (bit % 64);
      flipped += std::popcount(before ^ siphash<1, 3>(kVectorKey, std::span<const uint64_t>(words)));
      words[bit / 64] ^= uint64_t{1} << (bit % 64);
    }
  }
  EXPECT_NEAR(flipped / trials, 32.0, 0.2);  // deviation of the mean: 4 / sqrt(8192) = 0.04
}

TEST(ClusterKey, IsKnownWhileCompilingAndNeverChanges) {
  // Nodes of two releases must agree: a change of these numbers breaks a rolling upgrade.
  static_assert(cluster_key("edge-1") == cluster_key("edge-1"));
  EXPECT_EQ(cluster_key("edge-1").k0, 0x7142b2a3ae4ae156u);
  EXPECT_EQ(cluster_key("edge-1").k1, 0x26d508eba4ca7c4cu);
}

TEST(ClusterKey, DiffersForEachSeedInBothHalves) {
  std::set<uint64_t> halves;
  for (int i = 0; i < 1000; ++i) {
    const SipKey key = cluster_key("seed " + std::to_string(i));
    halves.insert(key.k0);
    halves.insert(key.k1);
  }
  EXPECT_EQ(halves.size(), 2000u);
}

}  // namespace
}  // namespace sluice
