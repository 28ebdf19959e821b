// A small, fast source of randomness that its owner keeps beside the decision that needs it: one per worker,
// no lock, and a seed makes a test repeatable. Not for secrets.
#pragma once

#include <cstdint>

namespace sluice {

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): eight
/// bytes of state, three multiplications a number. Also what the standard calls a uniform random bit
/// generator.
class Random {
 public:
  using result_type = uint64_t;
  explicit constexpr Random(uint64_t seed) : state_(seed) {}

  static constexpr uint64_t min() { return 0; }
  static constexpr uint64_t max() { return ~uint64_t{0}; }
  constexpr uint64_t operator()() {
    state_ += 0x9e3779b97f4a7c15u;
    return mix(state_);
  }
  /// 0..bound-1, for a bound above 0. Uneven by less than bound / 2^64.
  constexpr uint64_t below(uint64_t bound) {
    return static_cast<uint64_t>((static_cast<Wide>((*this)()) * bound) >> 64);
  }
  /// From 0, included, to 1, excluded.
  constexpr double unit() { return to_unit((*this)()); }

  /// Spreads what is in `word` over all its bits; a bijection.
  static constexpr uint64_t mix(uint64_t word) {
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
    return word ^ (word >> 31);
  }
  /// 64 even bits as a number from 0, included, to 1, excluded.
  static constexpr double to_unit(uint64_t word) { return static_cast<double>(word >> 11) * 0x1p-53; }

 private:
  __extension__ using Wide = unsigned __int128;
  uint64_t state_;
};

}  // namespace sluice
