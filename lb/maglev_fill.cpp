// Two costs dominate the textbook's loop: a branch mispredicted at every turn while many slots are free, and
// long runs of probes when few are. So the fill has three stages, all with the same outcome as probing:
//   crowd   the searches of 16 turns step side by side, then take their slots one after the other;
//   probe   one turn at a time, in a bitmap of taken slots (8 KiB for 65 537: stays in L1);
//   endgame with F slots free a probing turn costs size / F probes, a look at every free slot costs F. For
//           a free slot s, (s - offset) / skip modulo the size is its place in the owner's permutation: the
//           least place wins. One multiplication each, in vectors.
#include "lb/maglev_fill.h"

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstring>

#include "lb/cpu_clones.h"

namespace sluice {
namespace {

constexpr size_t kLanes = 16;

// What of the free slots the endgame starts with, in roots of the size. Measured with 1 000 backends at
// 65 537 and 655 373: 2 to 4 are equal within noise on AVX-512.
constexpr double kEndgameRoots = 2.5;

// How full the table is when stepping 16 searches side by side stops paying: the slowest of 16 sets the pace.
constexpr double kCrowdFill = 0.8;

struct Cursor {
  uint32_t next;  // the slot to try next; all earlier ones of the permutation are taken
  uint32_t skip;
};

// a + b modulo size for a, b < size: if the sum is less than size, sum - size wraps to a huge number.
inline uint32_t add_modulo(uint32_t a, uint32_t b, uint32_t size) {
  return std::min(a + b, a + b - size);
}

// Multiplication and division modulo the size by its 64-bit reciprocal (Barrett), for products below 2^63.
class Modulus {
 public:
  explicit Modulus(uint32_t size) : size_(size), reciprocal_(~uint64_t{0} / size) {}

  uint32_t reduce(uint64_t value) const {
    const auto quotient = static_cast<uint64_t>((static_cast<Wide>(value) * reciprocal_) >> 64);
    const uint64_t rest = value - quotient * size_;
    return static_cast<uint32_t>(rest >= size_ ? rest - size_ : rest);
  }
  uint32_t multiply(uint32_t a, uint32_t b) const { return reduce(uint64_t{a} * b); }

  // a^(size-2): the inverse, as the size is a prime (Fermat).
  uint32_t inverse(uint32_t a) const {
    uint32_t result = 1;
    for (uint64_t exponent = size_ - 2; exponent != 0; exponent >>= 1) {
      if ((exponent & 1) != 0) result = multiply(result, a);
      a = multiply(a, a);
    }
    return result;
  }

 private:
  __extension__ using Wide = unsigned __int128;
  uint64_t size_;
  uint64_t reciprocal_;
};

// The table while it is filled. Passed by value: as plain local pointers the compiler keeps them in
// registers.
struct Board {
  uint32_t size;
  uint32_t* taken;   // a bit per slot
  uint16_t* owners;  // per slot
};

inline bool is_taken(const uint32_t* taken, uint32_t slot) {
  return ((taken[slot / 32] >> (slot % 32)) & 1) != 0;
}

// Probes from `slot` on for the cursor's owner, takes the first free slot and moves the cursor behind it.
inline void take_from(Board board, Cursor& cursor, uint32_t slot, uint16_t owner) {
  const uint32_t skip = cursor.skip;
  const uint32_t wraps_from = board.size - skip;
  for (;;) {
    // Before the test on purpose: after it, GCC makes the choice a branch, mispredicted every other time.
    const uint32_t next = slot >= wraps_from ? slot - wraps_from : slot + skip;
    if (!is_taken(board.taken, slot)) break;
    slot = next;
  }
  board.taken[slot / 32] |= uint32_t{1} << (slot % 32);
  board.owners[slot] = owner;
  cursor.next = add_modulo(slot, skip, board.size);
}

void probe(Board board, std::span<Cursor> cursors, std::span<const uint16_t> turns) {
  Cursor* const cursor = cursors.data();
  for (const uint16_t owner : turns) take_from(board, cursor[owner], cursor[owner].next, owner);
}

using Lanes = std::array<uint32_t, kLanes>;

// Steps each of the searches to a free slot. Needs AVX-512 for its gather and masks: 16 loads put together
// one by one gain nothing over probe().
[[gnu::target("avx512f")]] void step_to_free(const uint32_t* taken, uint32_t size, const Lanes& skips,
                                             Lanes& slots) {
  const __m512i size_lanes = _mm512_set1_epi32(static_cast<int>(size));
  const __m512i one = _mm512_set1_epi32(1);
  const __m512i low_bits = _mm512_set1_epi32(31);
  const __m512i skip = _mm512_loadu_si512(skips.data());
  __m512i slot = _mm512_loadu_si512(slots.data());
  // The zeroing forms throughout: GCC 12 warns of its own header in the plain ones.
  for (__mmask16 searching = 0xffff;;) {
    const __m512i places = _mm512_maskz_srli_epi32(searching, slot, 5);
    const __m512i words = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), searching, places, taken, 4);
    const __m512i bits = _mm512_maskz_sllv_epi32(searching, one, _mm512_and_si512(slot, low_bits));
    searching = _mm512_test_epi32_mask(words, bits);
    if (searching == 0) break;
    const __m512i sum = _mm512_add_epi32(slot, skip);
    slot = _mm512_mask_min_epu32(slot, searching, sum, _mm512_sub_epi32(sum, size_lanes));
  }
  _mm512_storeu_si512(slots.data(), slot);
}

bool can_crowd() {
  return __builtin_cpu_supports("avx512f") != 0;
}

// Two lanes may have found the same slot, or be turns of one owner: take_from() then goes on from there. All
// that was skipped is taken, so it ends where probing turn by turn would.
void crowd(Board board, std::span<Cursor> cursors, std::span<const uint16_t> turns) {
  for (; turns.size() >= kLanes; turns = turns.subspan(kLanes)) {
    Lanes slots;
    Lanes skips;
    for (size_t lane = 0; lane < kLanes; ++lane) {
      slots[lane] = cursors[turns[lane]].next;
      skips[lane] = cursors[turns[lane]].skip;
    }
    step_to_free(board.taken, board.size, skips, slots);
    for (size_t lane = 0; lane < kLanes; ++lane)
      take_from(board, cursors[turns[lane]], slots[lane], turns[lane]);
  }
  probe(board, cursors, turns);
}

// The least of (slots[i] * scale + shift) minus its nearest integer, a number in -0.5..0.5. count is a
// multiple of kLanes; |slots[i] * scale + shift| < 2^51.
SLUICE_CPU_CLONES
double least_fraction(const double* slots, size_t count, double scale, double shift) {
  typedef double Quad __attribute__((vector_size(32)));
  const Quad round = Quad{} + 0x1.8p52;  // adding and subtracting it rounds to an integer
  std::array<Quad, kLanes / 4> least;    // four at a time hide the latency of the additions
  least.fill(Quad{} + 1.0);
  for (size_t i = 0; i < count; i += kLanes) {
    for (size_t quad = 0; quad < least.size(); ++quad) {
      Quad value;
      std::memcpy(&value, slots + i + 4 * quad, sizeof value);
      value = value * scale + shift;
      value -= (value + round) - round;
      least[quad] = value < least[quad] ? value : least[quad];
    }
  }
  double result = 1.0;
  for (const Quad& quad : least) {
    for (int lane = 0; lane < 4; ++lane) result = std::min(result, quad[lane]);
  }
  return result;
}

// The inverses of the skips of each turn's owner with one inversion (Montgomery's batch inversion).
std::vector<uint32_t> invert_skips(const Modulus& modulus, std::span<const Cursor> cursors,
                                   std::span<const uint16_t> turns) {
  std::vector<uint32_t> inverses(turns.size());
  uint32_t product = 1;
  for (size_t t = 0; t < turns.size(); ++t) {
    inverses[t] = product;
    product = modulus.multiply(product, cursors[turns[t]].skip);
  }
  uint32_t inverse = modulus.inverse(product);
  for (size_t t = turns.size(); t-- > 0;) {
    inverses[t] = modulus.multiply(inverses[t], inverse);
    inverse = modulus.multiply(inverse, cursors[turns[t]].skip);
  }
  return inverses;
}

void endgame(Board board, std::span<const Cursor> cursors, std::span<const uint16_t> turns) {
  const Modulus modulus(board.size);
  const std::vector<uint32_t> inverses = invert_skips(modulus, cursors, turns);
  // A free slot's entry in `owners` is its place in `free`, until it has an owner.
  std::vector<double> free;
  free.reserve(turns.size() + kLanes);
  for (uint32_t base = 0; base < board.size; base += 32) {
    uint32_t clear = ~board.taken[base / 32];
    if (board.size - base < 32) clear &= (uint32_t{1} << (board.size - base)) - 1;
    for (; clear != 0; clear &= clear - 1) {
      const uint32_t slot = base + static_cast<uint32_t>(std::countr_zero(clear));
      board.owners[slot] = static_cast<uint16_t>(free.size());
      free.push_back(slot);
    }
  }
  free.resize(turns.size() + kLanes);
  const double size = board.size;
  size_t left = turns.size();
  for (size_t t = 0; t < turns.size(); ++t) {
    const Cursor& cursor = cursors[turns[t]];
    std::fill_n(free.begin() + static_cast<ptrdiff_t>(left), kLanes,
                free[0]);  // padding never changes a minimum
    // The steps from the cursor to slot s are d = (s - next) / skip modulo the size, and d / size is the
    // fraction of (s - next) * inverse / size. Half a step is added, so that no rounding error (below 2^-28
    // at the largest size, where a step is above 2^-23) reaches a neighbour; half of one is subtracted, as
    // the fraction is taken from the nearest integer instead of the one below.
    const double scale = inverses[t] / size;
    const double shift = 0.5 / size - 0.5 - cursor.next * scale;
    const double least = least_fraction(free.data(), (left + kLanes - 1) / kLanes * kLanes, scale, shift);
    const auto steps = static_cast<uint32_t>((least + 0.5) * size);
    const uint32_t slot = modulus.reduce(cursor.next + uint64_t{steps} * cursor.skip);
    const uint16_t place = board.owners[slot];
    --left;
    free[place] = free[left];
    board.owners[static_cast<uint32_t>(free[left])] = place;
    board.owners[slot] = turns[t];
  }
}

}  // namespace

std::vector<uint16_t> fill_maglev(std::span<const MaglevPermutation> permutations,
                                  std::span<const uint16_t> turns) {
  const auto size = static_cast<uint32_t>(turns.size());
  std::vector<uint32_t> taken((size + 31) / 32);
  std::vector<uint16_t> owners(size);
  const Board board{size, taken.data(), owners.data()};
  std::vector<Cursor> cursors;
  cursors.reserve(permutations.size());
  for (const MaglevPermutation& p : permutations) cursors.push_back({p.offset, p.skip});

  const auto endgame_turns =
      std::min(turns.size(), static_cast<size_t>(kEndgameRoots * std::sqrt(static_cast<double>(size))));
  // With fewer owners than lanes the lanes would search for the same slot again and again.
  const bool crowded = permutations.size() >= kLanes && can_crowd();
  const auto crowd_turns = crowded ? static_cast<size_t>(kCrowdFill * size) : 0;
  const size_t probe_turns = turns.size() - endgame_turns;
  crowd(board, cursors, turns.first(std::min(crowd_turns, probe_turns)));
  probe(board, cursors, turns.first(probe_turns).subspan(std::min(crowd_turns, probe_turns)));
  endgame(board, cursors, turns.subspan(probe_turns));
  return owners;
}

}  // namespace sluice
