// SipHash-c-d (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012): a keyed hash, so that who
// does not know the cluster seed cannot choose packets that all fall into one slot.
//
// The rounds are templates over the word, so that a burst of flows can be hashed by the very same code with
// a vector of 64-bit lanes (GCC vector extension) in the place of uint64_t. They are forced inline, which
// lets a function cloned for wider vectors use them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace sluice {

struct SipKey {
  uint64_t k0 = 0;
  uint64_t k1 = 0;
  friend constexpr bool operator==(const SipKey&, const SipKey&) = default;
};

/// The running state. Word is uint64_t, or a GCC vector of uint64_t that carries one message per lane.
template <typename Word = uint64_t>
struct SipState {
  Word v0, v1, v2, v3;
};

/// Left rotation of each 64-bit lane; bits is 1..63.
template <int bits, typename Word>
[[gnu::always_inline]] constexpr void sip_rotate(Word& word) {
  word = (word << bits) | (word >> (64 - bits));
}

/// One SipRound (section 2.4 of the paper).
template <typename Word>
[[gnu::always_inline]] constexpr void sip_round(SipState<Word>& s) {
  s.v0 += s.v1;
  s.v2 += s.v3;
  sip_rotate<13>(s.v1);
  sip_rotate<16>(s.v3);
  s.v1 ^= s.v0;
  s.v3 ^= s.v2;
  sip_rotate<32>(s.v0);
  s.v2 += s.v1;
  s.v0 += s.v3;
  sip_rotate<17>(s.v1);
  sip_rotate<21>(s.v3);
  s.v1 ^= s.v2;
  s.v3 ^= s.v0;
  sip_rotate<32>(s.v2);
}

/// Starts `state`: the same key in all lanes.
template <typename Word>
[[gnu::always_inline]] constexpr void sip_init(SipState<Word>& state, const SipKey& key) {
  state.v0 = Word{} ^ (key.k0 ^ 0x736f6d6570736575u);
  state.v1 = Word{} ^ (key.k1 ^ 0x646f72616e646f6du);
  state.v2 = Word{} ^ (key.k0 ^ 0x6c7967656e657261u);
  state.v3 = Word{} ^ (key.k1 ^ 0x7465646279746573u);
}

/// Takes in one message word with c rounds. The caller supplies the last word, which carries the message's
/// length: sip_last_word().
template <int c, typename Word>
[[gnu::always_inline]] constexpr void sip_absorb(SipState<Word>& state, const Word& word) {
  state.v3 ^= word;
  for (int round = 0; round < c; ++round) sip_round(state);
  state.v0 ^= word;
}

/// The word that ends a message of `length_bytes`, without the up to 7 bytes left over in its low bits.
constexpr uint64_t sip_last_word(size_t length_bytes) {
  return static_cast<uint64_t>(length_bytes) << 56;
}

/// Ends the hash with d rounds and writes it, one value per lane.
template <int d, typename Word>
[[gnu::always_inline]] constexpr void sip_finish(SipState<Word>& state, Word& hash) {
  state.v2 ^= Word{} ^ 0xffu;
  for (int round = 0; round < d; ++round) sip_round(state);
  hash = state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

/// SipHash-c-d of bytes, given as std::span<const uint8_t>, std::string_view or the like.
template <int c, int d, typename Bytes>
requires(sizeof(typename Bytes::value_type) == 1) constexpr uint64_t
    siphash(const SipKey& key, const Bytes& bytes) {
  SipState<> state{};
  sip_init(state, key);
  const auto word_at = [&bytes](size_t at, size_t length) {
    uint64_t word = 0;
    for (size_t i = 0; i < length; ++i) word |= uint64_t{static_cast<uint8_t>(bytes[at + i])} << (8 * i);
    return word;
  };
  const size_t tail = bytes.size() % 8;
  const size_t whole = bytes.size() - tail;
  for (size_t at = 0; at < whole; at += 8) sip_absorb<c>(state, word_at(at, 8));
  sip_absorb<c>(state, sip_last_word(bytes.size()) | word_at(whole, tail));
  uint64_t hash = 0;
  sip_finish<d>(state, hash);
  return hash;
}

/// SipHash-c-d of words: equal to that of their bytes in little-endian order.
template <int c, int d>
constexpr uint64_t siphash(const SipKey& key, std::span<const uint64_t> words) {
  SipState<> state{};
  sip_init(state, key);
  for (const uint64_t word : words) sip_absorb<c>(state, word);
  sip_absorb<c>(state, sip_last_word(8 * words.size()));
  uint64_t hash = 0;
  sip_finish<d>(state, hash);
  return hash;
}

/// The key that a cluster's seed text stands for: two SipHash-2-4 of it under two fixed keys. All nodes with
/// the same text agree; the key is as hard to guess as the text is, and at most 128 bits.
constexpr SipKey cluster_key(std::string_view seed) {
  // Any two distinct keys do: these are the hexadecimal digits of pi behind the point.
  constexpr SipKey kFirst{0x243f6a8885a308d3u, 0x13198a2e03707344u};
  constexpr SipKey kSecond{0xa4093822299f31d0u, 0x082efa98ec4e6c89u};
  return {siphash<2, 4>(kFirst, seed), siphash<2, 4>(kSecond, seed)};
}

}  // namespace sluice
