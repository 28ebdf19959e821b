// How the requests to one endpoint ended, as the outlier detector wants to know it. Recording a good answer
// writes one cache line that only this worker writes, and reads one that nobody writes while answers are
// good.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "lb/counter.h"
#include "lb/l7/grpc_status.h"

namespace sluice {

/// Whose fault an ending was. A request that its client gave up is not recorded at all.
enum class RequestResult : uint8_t {
  kSuccess,         ///< any answer that is not the endpoint's failure, 4xx included
  kServerError,     ///< the endpoint says that it failed
  kGatewayError,    ///< the endpoint, or what is behind it, is not there: 502, 503, 504, a reset, a time-out
  kConnectFailure,  ///< seen here: refused, unreachable, no handshake in time
};

/// Of an HTTP status: 502, 503 and 504 are gateway errors, other 5xx are server errors.
constexpr RequestResult result_of_http(uint32_t status) {
  if (status < 500) return RequestResult::kSuccess;
  return status >= 502 && status <= 504 ? RequestResult::kGatewayError : RequestResult::kServerError;
}

/// Of a gRPC status, from trailers or headers. What a client can cause at will (UNIMPLEMENTED by naming a
/// method that is not there, RESOURCE_EXHAUSTED by asking too often) is not the endpoint's failure: it could
/// be used to have healthy endpoints ejected.
constexpr RequestResult result_of_grpc(GrpcStatus status) {
  switch (status) {
    case GrpcStatus::kUnavailable:
    case GrpcStatus::kDeadlineExceeded:
      return RequestResult::kGatewayError;
    case GrpcStatus::kUnknown:
    case GrpcStatus::kInternal:
    case GrpcStatus::kDataLoss:
      return RequestResult::kServerError;
    default:
      return RequestResult::kSuccess;
  }
}

/// Errors in a row that have an endpoint ejected; 0: however many.
struct StreakLimits {
  uint32_t server_errors = 5;     ///< of any kind that the endpoint answers, gateway errors included
  uint32_t gateway_errors = 0;    ///< of these alone
  uint32_t connect_failures = 5;  ///< a connection that comes about ends the row
  friend bool operator==(const StreakLimits&, const StreakLimits&) = default;
};

/// How many requests ended, and how many of them badly, since the endpoint is known.
struct ResultCounts {
  uint64_t requests = 0;
  uint64_t failures = 0;
};

class EndpointResults {
 public:
  /// `workers` threads may record.
  explicit EndpointResults(uint32_t workers)
      : worker_count_(workers), workers_(std::make_unique<PerWorker[]>(workers)) {}

  /// A request ended. Called by worker number `worker`. True if a row has just become as long as its limit:
  /// tell the detector. Only one worker is told so for one row.
  bool record(uint32_t worker, RequestResult result, const StreakLimits& limits) {
    PerWorker& mine = workers_[worker];
    mine.requests.add(1);
    if (result == RequestResult::kSuccess) [[likely]] {
      end_row(server_errors_);
      end_row(gateway_errors_);
      end_row(connect_failures_);
      return false;
    }
    mine.failures.add(1);
    if (result == RequestResult::kConnectFailure) return lengthen(connect_failures_, limits.connect_failures);
    end_row(connect_failures_);
    bool reached = lengthen(server_errors_, limits.server_errors);
    if (result == RequestResult::kGatewayError) {
      reached |= lengthen(gateway_errors_, limits.gateway_errors);
    } else {
      end_row(gateway_errors_);
    }
    return reached;
  }

  /// Over all workers; any thread. Whole values, but not of one moment.
  ResultCounts counts() const {
    ResultCounts sum;
    for (uint32_t w = 0; w < worker_count_; ++w) {
      sum.failures += workers_[w].failures.read();
      sum.requests += workers_[w].requests.read();
    }
    return sum;
  }
  uint32_t server_errors_in_a_row() const { return server_errors_.load(std::memory_order_relaxed); }
  uint32_t gateway_errors_in_a_row() const { return gateway_errors_.load(std::memory_order_relaxed); }
  uint32_t connect_failures_in_a_row() const { return connect_failures_.load(std::memory_order_relaxed); }
  /// The detector has taken them in.
  void end_rows() {
    end_row(server_errors_);
    end_row(gateway_errors_);
    end_row(connect_failures_);
  }

 private:
  using Row = std::atomic<uint32_t>;
  struct alignas(64) PerWorker {
    Counter requests;
    Counter failures;
  };
  static_assert(sizeof(PerWorker) == 64, "a cache line that one worker writes");

  // Looked at before it is written: of good answers the line stays shared by all cores.
  static void end_row(Row& row) {
    if (row.load(std::memory_order_relaxed) != 0) row.store(0, std::memory_order_relaxed);
  }
  static bool lengthen(Row& row, uint32_t limit) {
    return row.fetch_add(1, std::memory_order_relaxed) + 1 == limit;
  }

  alignas(64) Row server_errors_{0};
  Row gateway_errors_{0};
  Row connect_failures_{0};
  const uint32_t worker_count_;
  const std::unique_ptr<PerWorker[]> workers_;
};
static_assert(sizeof(EndpointResults) == 64, "rows and the way to the counters are one cache line");

}  // namespace sluice
