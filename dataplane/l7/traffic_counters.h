// What a worker counts of each listener, route and cluster. Written by that worker alone, read by anybody.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/l7/outcome.h"
#include "dataplane/l7/time_histogram.h"
#include "lb/counter.h"
#include "lb/l7/grpc_status.h"

namespace sluice::l7 {

/// A request that is over, as all who count it see it.
struct EndedRequest {
  Outcome outcome;
  uint8_t status_class;  ///< 1..5, or 0 if no status went to the client
  uint8_t grpc;          ///< GrpcStatus, of a gRPC call
  bool is_grpc;
  CountedTime time;         ///< from its head to the end of the answer
  uint64_t request_bytes;   ///< of its body
  uint64_t response_bytes;  ///< of the answer's
};

/// Bytes of HTTP that went over connections; TLS adds its own below.
struct WireBytes {
  Counter received;
  Counter sent;
};

enum class SpokenProtocol : uint8_t { kNone, kHttp1, kHttp2 };
inline constexpr size_t kSpokenProtocols = 3;

using OutcomeCounters = std::array<Counter, kOutcomes>;
using GrpcCounters = std::array<Counter, kGrpcStatusCount>;
inline constexpr size_t kStatusClasses = 6;

struct alignas(64) RouteCounters {
  std::array<Counter, kStatusClasses> statuses;  ///< by EndedRequest::status_class
  Counter request_bytes;
  Counter response_bytes;
  TimeHistogram seconds;
  OutcomeCounters outcomes;
  GrpcCounters grpc;

  void count(const EndedRequest& request) {
    statuses[request.status_class].add(1);
    request_bytes.add(request.request_bytes);
    response_bytes.add(request.response_bytes);
    seconds.count(request.time);
    outcomes[static_cast<size_t>(request.outcome)].add(1);
    if (request.is_grpc) grpc[request.grpc].add(1);
  }
};

struct alignas(64) ListenerCounters {
  Counter requests_begun;
  Counter requests_ended;
  WireBytes bytes;
  std::array<Counter, kSpokenProtocols> clients;      ///< connected now; kNone: they have not said yet
  std::array<Counter, kSpokenProtocols> connections;  ///< of all times; kNone: closed before they said it
  OutcomeCounters outcomes;

  void count(const EndedRequest& request) {
    requests_ended.add(1);
    outcomes[static_cast<size_t>(request.outcome)].add(1);
  }
};

struct alignas(64) ClusterCounters {
  WireBytes bytes;
  Counter retries;
  Counter moves;             ///< to another connection, because one ended in order
  Counter connects;          ///< attempts
  Counter connect_failures;  ///< of those
  Counter silences;          ///< connections that were given up because a PING stayed without an answer
  TimeHistogram first_byte;  ///< from a whole request sent to the head of its answer
  OutcomeCounters outcomes;
  GrpcCounters grpc;

  void count(const EndedRequest& request) {
    outcomes[static_cast<size_t>(request.outcome)].add(1);
    if (request.is_grpc) grpc[request.grpc].add(1);
  }
};

}  // namespace sluice::l7
