#include "lb/maglev.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <compare>
#include <numeric>
#include <string>
#include <utility>

#include "lb/maglev_fill.h"
#include "lb/model.h"

namespace sluice {
namespace {

// An identity as integers: they compare in the order of the bytes, and are what is hashed.
struct IdentityWords {
  uint64_t family;
  uint64_t high;
  uint64_t low;
  friend auto operator<=>(const IdentityWords&, const IdentityWords&) = default;
};

IdentityWords identity_words(const IpAddress& identity) {
  const auto big_endian = [&identity](size_t first) {
    uint64_t word = 0;
    for (size_t i = first; i < first + 8; ++i) word = (word << 8) | identity.bytes()[i];
    return word;
  };
  return {static_cast<uint64_t>(identity.family()), big_endian(0), big_endian(8)};
}

MaglevPermutation permutation_of(const IdentityWords& identity, uint32_t size, const SipKey& seed) {
  const std::array<uint64_t, 3> words = {identity.family, identity.high, identity.low};
  const uint64_t hash = siphash<2, 4>(seed, std::span<const uint64_t>(words));
  // 32 random bits scaled to a range: uneven by less than size / 2^32, 0.12 % at the largest size.
  const auto scale = [](uint64_t bits, uint32_t range) {
    return static_cast<uint32_t>(((bits & 0xffffffff) * range) >> 32);
  };
  return {scale(hash >> 32, size), scale(hash, size - 1) + 1};
}

bool is_prime(uint32_t number) {
  if (number % 2 == 0) return number == 2;
  for (uint32_t divisor = 3; divisor <= number / divisor; divisor += 2) {
    if (number % divisor == 0) return false;
  }
  return number > 1;
}

struct Contender {
  IdentityWords identity;
  uint32_t weight;
  uint16_t id;
};

// In the order of identities, those of weight 0 included.
Result<std::vector<Contender>> in_order(std::span<const MaglevEntry> entries) {
  if (entries.size() > kMaxMaglevEntries) {
    return fail(
        fmt::format("{} backends in one pool: at most {} are accepted", entries.size(), kMaxMaglevEntries));
  }
  std::vector<Contender> contenders;
  contenders.reserve(entries.size());
  for (const MaglevEntry& entry : entries) {
    if (entry.weight > kMaxWeight) {
      return fail(fmt::format("backend {}: weight {} is not in 0..{}", entry.identity.to_string(),
                              entry.weight, kMaxWeight));
    }
    contenders.push_back({identity_words(entry.identity), entry.weight, entry.id});
  }
  std::ranges::sort(contenders, {}, &Contender::identity);
  const auto twice = std::ranges::adjacent_find(contenders, {}, &Contender::identity);
  if (twice != contenders.end()) {
    const auto entry = std::ranges::find(entries, twice->identity,
                                         [](const MaglevEntry& e) { return identity_words(e.identity); });
    return fail(fmt::format("backend {} is listed twice in one pool", entry->identity.to_string()));
  }
  return contenders;
}

bool all_equal(std::span<const Contender> contenders) {
  return std::ranges::all_of(contenders,
                             [&](const Contender& c) { return c.weight == contenders[0].weight; });
}

// How many slots each gets: size * weight / sum, rounded by largest remainder, ties to the first in order.
std::vector<uint32_t> shares(std::span<const Contender> contenders, uint32_t size) {
  const uint64_t sum = std::accumulate(contenders.begin(), contenders.end(), uint64_t{0},
                                       [](uint64_t s, const Contender& c) { return s + c.weight; });
  std::vector<uint32_t> slots(contenders.size());
  std::vector<std::pair<uint64_t, size_t>> remainders(contenders.size());
  uint32_t left = size;
  for (size_t i = 0; i < contenders.size(); ++i) {
    const uint64_t product = uint64_t{size} * contenders[i].weight;
    slots[i] = static_cast<uint32_t>(product / sum);
    left -= slots[i];
    remainders[i] = {sum - product % sum, i};  // ascending: largest remainder first, then order
  }
  const auto last = remainders.begin() + left;
  if (last != remainders.end()) std::ranges::nth_element(remainders, last);
  for (auto r = remainders.begin(); r != last; ++r) ++slots[r->second];
  return slots;
}

// Visits the rounds of a backend's turns. Turn k = 1, 2, ... is in the first round r with r w / max >= k -
// 1/2, that is round ceil((2 k - 1) max / (2 w)), stepped in integers like a line on a raster (Bresenham).
template <typename Visit>
void each_round(uint32_t weight, uint32_t max_weight, uint32_t turns, Visit visit) {
  const int64_t twice_weight = 2 * int64_t{weight};
  const int64_t step = 2 * int64_t{max_weight} / twice_weight;
  const int64_t step_rest = 2 * int64_t{max_weight} % twice_weight;
  int64_t round = (max_weight + twice_weight - 1) / twice_weight;
  int64_t rounded_up = round * twice_weight - max_weight;  // how much the last round is above the exact one
  for (uint32_t turn = 0; turn < turns; ++turn) {
    visit(static_cast<size_t>(round));
    round += step;
    rounded_up -= step_rest;
    if (rounded_up < 0) {
      ++round;
      rounded_up += twice_weight;
    }
  }
}

// Whose turn it is, for each slot of the table: by rounds, within a round in the order of identities. A
// counting sort over the rounds, so that a round in which hardly anybody has a turn costs nothing more.
std::vector<uint16_t> turn_order(std::span<const Contender> contenders, uint32_t size) {
  std::vector<uint16_t> turns(size);
  if (all_equal(contenders)) {  // every round is the same
    const size_t count = contenders.size();
    for (size_t t = 0; t < size; ++t) turns[t] = static_cast<uint16_t>(t < count ? t : turns[t - count]);
    return turns;
  }
  const uint32_t max_weight = std::ranges::max(contenders, {}, &Contender::weight).weight;
  const std::vector<uint32_t> slots = shares(contenders, size);
  const auto each_turn = [&](auto visit) {
    for (size_t i = 0; i < contenders.size(); ++i) {
      each_round(contenders[i].weight, max_weight, slots[i], [&](size_t round) { visit(i, round); });
    }
  };
  std::vector<uint32_t> starts;
  each_turn([&](size_t, size_t round) {
    if (round + 1 >= starts.size()) starts.resize(round + 2);
    ++starts[round + 1];
  });
  std::partial_sum(starts.begin(), starts.end(), starts.begin());
  each_turn([&](size_t i, size_t round) { turns[starts[round]++] = static_cast<uint16_t>(i); });
  return turns;
}

}  // namespace

MaglevPermutation maglev_permutation(const IpAddress& identity, uint32_t size, const SipKey& seed) {
  return permutation_of(identity_words(identity), size, seed);
}

Result<void> check_maglev_size(uint32_t size) {
  const bool in_range = kMinMaglevSize <= size && size <= kMaxMaglevSize;
  if (in_range && is_prime(size)) return {};
  // Both bounds are primes, so that both searches end inside the range.
  uint32_t down = std::clamp(size, kMinMaglevSize, kMaxMaglevSize);
  uint32_t up = down;
  while (!is_prime(down)) --down;
  while (!is_prime(up)) ++up;
  const std::string nearest = down == up ? std::to_string(up) : fmt::format("{} and {}", down, up);
  return fail(fmt::format("table size {} is not a prime from {} to {}; nearest accepted: {}", size,
                          kMinMaglevSize, kMaxMaglevSize, nearest));
}

Result<std::vector<uint16_t>> build_maglev(std::span<const MaglevEntry> entries, uint32_t size,
                                           const SipKey& seed) {
  if (auto accepted = check_maglev_size(size); !accepted) return tl::unexpected(accepted.error());
  auto contenders = in_order(entries);
  if (!contenders) return tl::unexpected(contenders.error());
  std::erase_if(*contenders, [](const Contender& c) { return c.weight == 0; });
  if (contenders->empty()) return std::vector<uint16_t>();
  if (contenders->size() > size) {
    return fail(
        fmt::format("{} backends for a table of {} slots: choose a size of at least 100 slots per backend",
                    contenders->size(), size));
  }

  std::vector<MaglevPermutation> permutations;
  permutations.reserve(contenders->size());
  for (const Contender& c : *contenders) permutations.push_back(permutation_of(c.identity, size, seed));
  std::vector<uint16_t> table = fill_maglev(permutations, turn_order(*contenders, size));
  for (uint16_t& slot : table) slot = (*contenders)[slot].id;
  return table;
}

}  // namespace sluice
