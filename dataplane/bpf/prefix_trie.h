// A pair of BPF LPM tries (IPv4, IPv6) as a set of prefixes that can be changed while packets run.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lb/address.h"
#include "lb/result.h"

namespace sluice::bpf {

/// Descriptors of two LPM tries whose keys are prefix_key_ipv4 and prefix_key_ipv6 of packet.bpf.h and whose
/// values are uint32_t. The descriptors stay the caller's.
struct PrefixTries {
  int ipv4_fd = -1;
  int ipv6_fd = -1;

  /// The prefixes now in the tries, sorted.
  Result<std::vector<Prefix>> read() const;

  /// The value stored with a prefix; an Error if the prefix is not in the tries.
  Result<uint32_t> value(const Prefix& prefix) const;

  /// Adds a prefix or changes its value. An Error if the trie is full.
  Result<void> set(const Prefix& prefix, uint32_t value) const;

  /// Removes a prefix; one that is not there is no error.
  Result<void> erase(const Prefix& prefix) const;

  /// Makes the tries hold exactly `wanted`. New prefixes go in before old ones come out, so that a prefix in
  /// both sets matches throughout. On an Error some of the new ones may be in; none of the old ones is out.
  Result<void> replace(std::span<const Prefix> wanted, uint32_t value) const;
};

}  // namespace sluice::bpf
