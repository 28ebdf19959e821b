// Values of BPF per-CPU maps, summed.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "dataplane/bpf/attached_program.h"
#include "lb/result.h"

namespace sluice::bpf {

/// The sum over all CPUs of the value under `key`. Value is a struct of uint64_t alone, or a uint64_t: the
/// kernel writes one per possible CPU, each on a multiple of 8 bytes.
template <typename Value, typename Key>
Result<Value> sum_per_cpu(int map_fd, const Key& key) {
  static_assert(sizeof(Value) % sizeof(uint64_t) == 0 && std::is_trivially_copyable_v<Value>);
  constexpr size_t kWords = sizeof(Value) / sizeof(uint64_t);
  std::vector<uint64_t> words(kWords * static_cast<size_t>(libbpf_num_possible_cpus()));
  if (bpf_map_lookup_elem(map_fd, &key, words.data()) != 0) {
    return fail(explain_errno("cannot read BPF counters", errno));
  }
  std::array<uint64_t, kWords> sum{};
  for (size_t i = 0; i < words.size(); i++) {
    sum[i % kWords] += words[i];
  }
  return std::bit_cast<Value>(sum);
}

}  // namespace sluice::bpf
