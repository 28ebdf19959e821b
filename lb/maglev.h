// Maglev consistent hashing: which backend owns which slot of a table, as a pure function of identities,
// weights, size and seed (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer",
// NSDI 2016, section 3.4). docs/maglev.md tells what is guaranteed and what was measured.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lb/address.h"
#include "lb/result.h"
#include "lb/siphash.h"

namespace sluice {

inline constexpr uint32_t kMinMaglevSize = 251;
inline constexpr uint32_t kMaxMaglevSize = 5'000'011;
inline constexpr size_t kMaxMaglevEntries = 65535;

/// One backend of a pool.
struct MaglevEntry {
  IpAddress identity;   ///< what nodes agree on: decides the order of turns and the preferred slots
  uint32_t weight = 1;  ///< 0..kMaxWeight; 0: no slots
  uint16_t id = 0;      ///< the value written into this backend's slots; means nothing here
  friend bool operator==(const MaglevEntry&, const MaglevEntry&) = default;
};

/// The order in which a backend wants slots: offset, offset + skip, offset + 2 skip, ... modulo the size.
struct MaglevPermutation {
  uint32_t offset = 0;  ///< 0..size-1
  uint32_t skip = 1;    ///< 1..size-1
};

/// The permutation of `identity`: the two halves of its SipHash-2-4 under `seed` are the paper's h1 and h2.
MaglevPermutation maglev_permutation(const IpAddress& identity, uint32_t size, const SipKey& seed);

/// Whether `size` can be a table's: a prime from kMinMaglevSize to kMaxMaglevSize. The error names the
/// nearest sizes that can.
Result<void> check_maglev_size(uint32_t size);

/// Fills a table of `size` slots, each with the id of the backend that owns it.
///
/// Backends take turns in the order of their identities, whatever the order of `entries`; at its turn a
/// backend takes the first free slot of its permutation. With equal weights this is the paper's algorithm
/// to the letter. With unequal ones, after round r a backend of weight w has had round(r w / max weight)
/// turns, until it owns its share: size * w / (sum of weights), rounded down or up so that the sum is the
/// size (largest remainders up). So each backend owns its exact share to less than one slot.
///
/// Returns an empty vector if no entry has a weight above 0: there is no backend to choose.
/// Errors: check_maglev_size(); more than kMaxMaglevEntries entries; more entries with a weight than slots;
/// a weight above kMaxWeight; an identity listed twice (even with weight 0).
Result<std::vector<uint16_t>> build_maglev(std::span<const MaglevEntry> entries, uint32_t size,
                                           const SipKey& seed);

}  // namespace sluice
