// What a worker counts of all requests that it carried. Written by that worker alone, read by anybody.
#pragma once

#include "dataplane/l7/defence.h"
#include "dataplane/l7/traffic_counters.h"

namespace sluice::l7 {

struct WorkerCounters {
  OutcomeCounters outcomes;
  Counter hedges;          ///< second tries beside a slow first one
  Counter hedges_won;      ///< those that answered first
  OutcomeCounters copies;  ///< of requests, made for mirrors; by how they ended
  TimeHistogram request_seconds;
  Counter accept_failures;                           ///< no descriptor or memory for one
  Counter clients;                                   ///< connections taken
  std::array<Counter, kDefences> client_defences;    ///< against clients, by reason
  std::array<Counter, kDefences> endpoint_defences;  ///< against endpoints

  void count(const EndedRequest& request) {
    outcomes[static_cast<size_t>(request.outcome)].add(1);
    request_seconds.count(request.time);
  }
};

}  // namespace sluice::l7
