// Remembers which backend a flow was given, so that it stays there when the Maglev table changes.
//
// What it refuses to do, and why that is right:
// - It never grows: memory is given once, so a flood of new flows cannot take the node down.
// - It never fails: a full bucket gives up its oldest entry. The flow that lost its entry falls back to the
//   Maglev answer, which is the same backend unless the pool changed in its lifetime.
// - It keeps no addresses, only a 36-bit signature: a lookup compares at most eight of them, so a flow that
//   is not in the table matches a wrong entry with a chance below 8 x 2^-36 = 1.2e-10, however full it is.
// - It is not shared: one table per worker, no atomics. The reader of the counters sees whole words.
//
// One bucket is one cache line of eight entries; the whole lookup is one memory access, prefetched a step
// ahead.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

#include "lb/counter.h"

namespace sluice {

/// Number of a backend in tables: 1..65535. Stable for the life of the backend (see id_registry.h).
using BackendId = uint16_t;
inline constexpr BackendId kNoBackend = 0;

/// Coarse time of flow entries, modulo 4096.
using FlowTick = uint16_t;
inline constexpr uint32_t kFlowTickSeconds = 2;
/// Longest idle time-out: below the wrap of the tick less one sweep of the whole table.
inline constexpr uint32_t kMaxIdleTimeoutSeconds = 7200;
/// The sweep must visit each bucket at least once in so many ticks.
inline constexpr uint32_t kSweepTicks = 128;

/// Eight entries: signature in bits 63..28 (the same bits of the flow hash), backend in 27..12, tick of the
/// last packet in 11..0. Zero is an empty entry, because backend 0 does not exist.
struct alignas(64) FlowBucket {
  uint64_t entries[8];
};
static_assert(sizeof(FlowBucket) == 64, "a bucket is one cache line");

class FlowTable {
 public:
  static constexpr uint32_t kWays = 8;
  static constexpr uint32_t kMinBuckets = 64;
  static constexpr uint32_t kMaxBuckets = 1u << 26;

  /// Buckets for `flows` flows: the next power of two of flows / 4, so that buckets are half full on average
  /// at the promised number and few overflow. 4 Mi flows take 64 MiB.
  static constexpr uint32_t buckets_for(uint32_t flows) {
    return std::clamp(std::bit_ceil(flows / (kWays / 2)), kMinBuckets, kMaxBuckets);
  }

  /// `buckets` is zeroed memory that outlives the table; its size is a power of two.
  explicit FlowTable(std::span<FlowBucket> buckets)
      : buckets_(buckets.data()), mask_(static_cast<uint32_t>(buckets.size() - 1)) {}
  FlowTable(const FlowTable&) = delete;
  FlowTable& operator=(const FlowTable&) = delete;

  /// Brings the bucket of `hash` towards the cache; call a burst ahead of find.
  void prefetch(uint64_t hash) const { __builtin_prefetch(bucket_of(hash), 1, 3); }

  /// The backend that the flow of `hash` was given, or kNoBackend when it is unknown or was idle for more
  /// than `timeout` ticks. `timeout` is at most kMaxIdleTimeoutSeconds / kFlowTickSeconds. Does not refresh.
  [[gnu::always_inline]] BackendId find(uint64_t hash, FlowTick now, FlowTick timeout) const {
    const uint64_t entry = matching(load(bucket_of(hash)), hash);
    return idle_ticks(entry, now) > timeout ? kNoBackend : backend_of(entry);
  }

  /// As find, and marks the flow as seen now.
  [[gnu::always_inline]] BackendId find_and_refresh(uint64_t hash, FlowTick now, FlowTick timeout) {
    FlowBucket* bucket = bucket_of(hash);
    const Lanes lanes = load(bucket);
    const uint64_t entry = matching(lanes, hash);
    const FlowTick idle = idle_ticks(entry, now);
    if (entry == 0 || idle > timeout) return kNoBackend;
    // Most packets come in the same tick as the one before: do not dirty the line for them.
    if (idle != 0) [[unlikely]]
      refresh(bucket, lanes, hash, now);
    return backend_of(entry);
  }

  /// What the table knew of a flow: its backend, kNoBackend if none, and the ticks since its last packet.
  struct Known {
    BackendId backend = kNoBackend;
    FlowTick idle = 0;
  };

  /// Gives the flow of `hash` to `backend` (not kNoBackend). Takes the flow's own entry, else an empty one,
  /// else the one longest unseen, which is evicted. Returns what was known of the flow before.
  [[gnu::noinline]] Known insert(uint64_t hash, BackendId backend, FlowTick now) {
    uint64_t* victim = nullptr;
    uint32_t victim_idle = 0;
    for (uint64_t& entry : bucket_of(hash)->entries) {
      if (entry != 0 && ((entry ^ hash) & kSignatureMask) == 0) {
        const Known before{backend_of(entry), idle_ticks(entry, now)};
        entry = make_entry(hash, backend, now);
        return before;
      }
      const uint32_t idle = entry == 0 ? kTickMask + 1u : idle_ticks(entry, now);
      if (victim == nullptr || idle > victim_idle) {
        victim = &entry;
        victim_idle = idle;
      }
    }
    if (*victim == 0) {
      occupied_.add(1);
    } else {
      evicted_.add(1);
    }
    inserted_.add(1);
    *victim = make_entry(hash, backend, now);
    return {};
  }

  /// Empties entries unseen for more than `timeout` ticks in the next `count` buckets of an endless round.
  /// Keeps old entries from looking young again when the tick wraps: every bucket must be visited once in
  /// kSweepTicks.
  void sweep(uint32_t count, FlowTick now, FlowTick timeout) {
    for (; count > 0; --count) {
      for (uint64_t& entry : buckets_[sweep_cursor_].entries) {
        if (entry != 0 && idle_ticks(entry, now) > timeout) {
          entry = 0;
          occupied_.subtract(1);
          expired_.add(1);
        }
      }
      sweep_cursor_ = (sweep_cursor_ + 1) & mask_;
    }
  }

  /// Calls seen(backend, ticks since the last packet) for each entry of the buckets first..last-1.
  template <typename Seen>
  void visit(uint32_t first, uint32_t last, FlowTick now, Seen seen) const {
    for (uint32_t bucket = first; bucket < last; ++bucket) {
      for (const uint64_t entry : buckets_[bucket].entries) {
        if (entry != 0) seen(backend_of(entry), idle_ticks(entry, now));
      }
    }
  }

  uint32_t bucket_count() const { return mask_ + 1; }
  uint64_t capacity() const { return uint64_t{bucket_count()} * kWays; }
  /// Entries in use; like the counters below, may be read from any thread.
  uint64_t occupied() const { return occupied_.read(); }
  uint64_t inserted() const { return inserted_.read(); }
  uint64_t evicted() const { return evicted_.read(); }
  uint64_t expired() const { return expired_.read(); }

 private:
  static constexpr int kBackendShift = 12;
  static constexpr int kSignatureShift = 28;
  static constexpr uint64_t kSignatureMask = ~((uint64_t{1} << kSignatureShift) - 1);
  static constexpr uint32_t kTickMask = 0xfff;
  static_assert(kMaxIdleTimeoutSeconds / kFlowTickSeconds + kSweepTicks <= kTickMask);
  static_assert(kMaxBuckets <= 1u << kSignatureShift, "index and signature must not share hash bits");

  // The compiler lowers this to one, two or four registers, as the CPU has them.
  typedef uint64_t Lanes __attribute__((vector_size(64), may_alias));

  static uint64_t make_entry(uint64_t hash, BackendId backend, FlowTick now) {
    return (hash & kSignatureMask) | uint64_t{backend} << kBackendShift | (now & kTickMask);
  }
  static BackendId backend_of(uint64_t entry) { return static_cast<BackendId>(entry >> kBackendShift); }
  static FlowTick idle_ticks(uint64_t entry, FlowTick now) {
    return static_cast<FlowTick>((now - entry) & kTickMask);
  }

  FlowBucket* bucket_of(uint64_t hash) const { return &buckets_[hash & mask_]; }
  [[gnu::always_inline]] static Lanes load(const FlowBucket* bucket) {
    return *reinterpret_cast<const Lanes*>(bucket);
  }
  [[gnu::always_inline]] static Lanes matches(const Lanes& lanes, uint64_t hash) {
    return reinterpret_cast<Lanes>(((lanes ^ hash) & kSignatureMask) == 0);
  }
  /// The entry with the signature of `hash`, or 0. At most one entry of a bucket has it (insert sees to it),
  /// and an empty entry is 0, so that OR over the matching ones is the entry itself.
  [[gnu::always_inline]] static uint64_t matching(const Lanes& lanes, uint64_t hash) {
    const Lanes hit = lanes & matches(lanes, hash);
    const auto four =
        __builtin_shufflevector(hit, hit, 0, 1, 2, 3) | __builtin_shufflevector(hit, hit, 4, 5, 6, 7);
    const auto two = __builtin_shufflevector(four, four, 0, 1) | __builtin_shufflevector(four, four, 2, 3);
    return two[0] | two[1];
  }
  [[gnu::always_inline]] static void refresh(FlowBucket* bucket, const Lanes& lanes, uint64_t hash,
                                             FlowTick now) {
    // An empty entry can match a signature of zero; it must stay empty.
    const Lanes hit = matches(lanes, hash) & reinterpret_cast<Lanes>(lanes != 0);
    *reinterpret_cast<Lanes*>(bucket) = (lanes & ~(hit & kTickMask)) | (hit & (now & kTickMask));
  }

  FlowBucket* buckets_;
  uint32_t mask_;
  uint32_t sweep_cursor_ = 0;
  Counter occupied_;
  Counter inserted_;
  Counter evicted_;
  Counter expired_;
};

}  // namespace sluice
