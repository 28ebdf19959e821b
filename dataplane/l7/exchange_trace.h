// Which trace a request is part of, and what of it is to be told.
#pragma once

#include <chrono>

#include "dataplane/l7/span_record.h"
#include "lb/l7/trace_context.h"

namespace sluice::l7 {

struct ExchangeTrace {
  TraceId id;
  SpanId parent = 0;  ///< the client's; 0: the trace begins here
  SpanId server = 0;  ///< of the request
  std::chrono::steady_clock::time_point try_began{};
  EndpointId endpoint;                            ///< of the try under way
  SpanId client = 0;                              ///< of the try under way
  std::chrono::system_clock::time_point began{};  ///< when the request's head had come
  uint32_t tries_before = 0;                      ///< the try under way
  SpanError try_error = SpanError::kNone;         ///< of the try under way
  bool announced = false;                         ///< endpoints are sent a traceparent of our own
  bool mirror = false;                            ///< the exchange is a copy for a mirror
  bool recorded = false;                          ///< there are spans

  /// The try that `hedge` has made is under way here from now on.
  void follow_try(const ExchangeTrace& hedge) {
    client = hedge.client;
    endpoint = hedge.endpoint;
    try_began = hedge.try_began;
    tries_before = hedge.tries_before;
    try_error = SpanError::kNone;
  }
};

}  // namespace sluice::l7
