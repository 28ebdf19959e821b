// Counters with one writer: the worker adds with plain instructions, any thread reads whole values.
#pragma once

#include <atomic>
#include <cstdint>

namespace sluice {

/// A 64-bit count. Only one thread may add; the load and store are relaxed, so an add compiles to a plain
/// add to memory, without a lock prefix.
class Counter {
 public:
  void add(uint64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void subtract(uint64_t n) { add(~n + 1); }
  uint64_t read() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

/// Packets and the bytes in them (IP length, as received).
struct TrafficCounter {
  Counter packets;
  Counter bytes;

  void add(uint64_t packet_count, uint64_t byte_count) {
    packets.add(packet_count);
    bytes.add(byte_count);
  }
};
static_assert(sizeof(TrafficCounter) == 16, "four to a cache line");

}  // namespace sluice
