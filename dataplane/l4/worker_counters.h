// What one worker counts. Written by that worker alone, read by the control thread at any time.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "lb/counter.h"
#include "lb/drop_reason.h"
#include "lb/forwarding_table.h"

namespace sluice::l4 {

/// What traffic says about a backend's health. Only SYNs and ICMP errors touch it.
struct alignas(32) BackendSignals {
  Counter syns;                ///< SYNs sent to it, repeated ones too
  Counter syns_again;          ///< of these, repeated: see kSynAgainTicks
  Counter unreachable_errors;  ///< ICMP destination unreachable about its flows
};
static_assert(sizeof(BackendSignals) == 32, "two to a cache line");

/// A SYN of a flow whose last packet went to the same backend so many ticks ago, or fewer, is a repeated one:
/// clients repeat after 1, 2 and 4 seconds (RFC 6298), the last of which is 2 ticks of 2 s.
inline constexpr FlowTick kSynAgainTicks = 2;

struct alignas(64) WorkerCounters {
  TrafficCounter received;     ///< frames from all ports, Ethernet bytes
  TrafficCounter transmitted;  ///< frames accepted by a transmit queue, Ethernet bytes
  Counter polls;               ///< rounds over all receive queues
  Counter idle_polls;          ///< rounds that found nothing
  Counter sleeps;              ///< times the worker slept until a packet or the time-out
  Counter echo_replies;
  Counter too_big_answers;
  std::array<Counter, kDropReasons> drops;

  /// By ForwardVip::id and BackendId; packets sent on, IP bytes as received.
  std::unique_ptr<TrafficCounter[]> vips{new TrafficCounter[ForwardingIds::kMaxVips + 1u]};
  std::unique_ptr<TrafficCounter[]> backends{new TrafficCounter[ForwardingIds::kMaxBackends + 1u]};
  /// By BackendId.
  std::unique_ptr<BackendSignals[]> signals{new BackendSignals[ForwardingIds::kMaxBackends + 1u]};

  void drop(DropReason reason, uint64_t packets = 1) { drops[static_cast<size_t>(reason)].add(packets); }
};

}  // namespace sluice::l4
