// The hash of a flow: SipHash-1-3 of the 5-tuple, keyed by the cluster seed.
//
// Message bytes, in network order: source, destination, source port, destination port, protocol; 13 bytes for
// IPv4 and 37 for IPv6, so the length tells the families apart. Everything that must agree between nodes
// (Maglev slot, outer source bits, flow label) is taken from this value. SipHash because a stranger chooses
// the tuples: without the key nobody can aim at one slot or one bucket. One and three rounds because this is
// the variant meant for hash tables; a burst of eight costs about as much as two single ones.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "lb/address.h"
#include "lb/byte_order.h"
#include "lb/siphash.h"

namespace sluice {

/// A flow, as people and tests write it.
struct FiveTuple {
  IpAddress source;
  IpAddress destination;
  Be16 source_port;
  Be16 destination_port;
  uint8_t protocol = 0;
  friend bool operator==(const FiveTuple&, const FiveTuple&) = default;
};

/// Ports and protocol as the leftover bytes of the last SipHash word.
constexpr uint64_t flow_ports_word(uint16_t raw_source_port, uint16_t raw_destination_port,
                                   uint8_t protocol) {
  return uint64_t{raw_source_port} | uint64_t{raw_destination_port} << 16 | uint64_t{protocol} << 32;
}

/// Hash of one flow. source and destination are of one family.
uint64_t flow_hash(const SipKey& key, const FiveTuple& tuple);

/// Up to 64 flows of one family, one per lane, each as message words without the length.
/// kWords is 2 for IPv4 {source | destination << 32, ports} and 5 for IPv6 {source 2, destination 2, ports}.
template <uint32_t kWords>
struct FlowLanes {
  static constexpr uint32_t kMaxFlows = 64;
  static constexpr size_t kMessageBytes = kWords == 2 ? 13 : 37;
  typedef uint64_t Vector __attribute__((vector_size(64)));

  alignas(64) uint64_t words[kWords][kMaxFlows];
  alignas(64) uint64_t hashes[kMaxFlows];

  /// Fills hashes[0..count). Lanes behind count up to the next multiple of 8 are hashed too, whatever they
  /// hold. `on_hash` is called with each hash as soon as it is known, to prefetch what it leads to.
  template <typename OnHash>
  [[gnu::always_inline]] void hash_all(const SipKey& key, uint32_t count, OnHash on_hash) {
    for (uint32_t first = 0; first < count; first += 8) {
      SipState<Vector> state;
      sip_init(state, key);
      for (uint32_t w = 0; w + 1 < kWords; ++w) sip_absorb<1>(state, vector_at(words[w] + first));
      sip_absorb<1>(state, vector_at(words[kWords - 1] + first) | sip_last_word(kMessageBytes));
      sip_finish<3>(state, vector_at(hashes + first));
      for (uint32_t i = first; i < std::min(first + 8, count); ++i) on_hash(hashes[i]);
    }
  }

 private:
  [[gnu::always_inline]] static Vector& vector_at(uint64_t* words_of_eight) {
    return *reinterpret_cast<Vector*>(words_of_eight);
  }
};
using FlowLanesIpv4 = FlowLanes<2>;
using FlowLanesIpv6 = FlowLanes<5>;

}  // namespace sluice
