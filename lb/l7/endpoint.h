// One server of a cluster: what the operator and the checks say about it, and the counters that every worker
// shares. What a worker reads on its way to a decision and what it writes are on different cache lines.
#pragma once

#include <atomic>
#include <chrono>
#include <compare>
#include <cstdint>
#include <memory>
#include <string>

#include "lb/address.h"
#include "lb/l7/endpoint_results.h"
#include "lb/l7/endpoint_traffic.h"

namespace sluice {

using PickTime = std::chrono::steady_clock::time_point;

/// What makes an endpoint the same one after a change of configuration or of a DNS answer.
struct EndpointId {
  IpAddress address;
  uint16_t port = 0;
  std::string to_string() const {
    return (address.is_v6() ? "[" + address.to_string() + "]" : address.to_string()) + ":" +
           std::to_string(port);
  }
  friend bool operator==(const EndpointId&, const EndpointId&) = default;
  friend auto operator<=>(const EndpointId&, const EndpointId&) = default;
};

inline constexpr uint32_t kMaxEndpointWeight = 65535;
inline constexpr uint32_t kMaxEndpointPriority = 127;

struct Endpoint {
  EndpointId id;
  uint32_t weight = 1;    ///< 0..kMaxEndpointWeight; 0: no requests, and counted nowhere
  std::string zone;       ///< "": none
  uint32_t priority = 0;  ///< 0..kMaxEndpointPriority; lower is preferred
  bool healthy = true;    ///< what active checks say
  bool ejected = false;   ///< what the outlier detector says
  bool draining = false;  ///< what the operator says: no new requests, not even in panic

  bool available() const { return healthy && !ejected && !draining; }
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

/// The counters of one endpoint, shared by all workers. Lives as long as anybody holds it: sets of endpoints
/// do, and so must who has a request open there. Its address names the endpoint for as long.
struct alignas(64) EndpointState {
  EndpointState(uint32_t slot_number, uint32_t workers)
      : slot(slot_number), traffic(std::make_unique<EndpointTraffic>(workers)), results(workers) {}
  EndpointState(const EndpointState&) = delete;
  EndpointState& operator=(const EndpointState&) = delete;

  /// A request was sent there, by any worker.
  void start_request() { active.fetch_add(1, std::memory_order_relaxed); }
  /// It has ended, in whatever way.
  void end_request() { active.fetch_sub(1, std::memory_order_relaxed); }
  uint32_t active_requests() const { return active.load(std::memory_order_relaxed); }

  /// Requests open there, exact over all workers: what one adds the others see at their next pick.
  std::atomic<uint32_t> active{0};
  /// Place in arrays that workers keep per endpoint; small numbers, used again after an endpoint has gone.
  const uint32_t slot;
  /// Connections and times. Who counts there often keeps the way to its own counters.
  const std::unique_ptr<EndpointTraffic> traffic;
  /// How requests ended; on lines of its own.
  EndpointResults results;
};
static_assert(sizeof(EndpointState) == 128, "the count of open requests is alone on its cache line");

}  // namespace sluice
