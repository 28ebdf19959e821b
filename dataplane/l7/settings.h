// What the proxy does, as plain values: made by control/ from the configuration, read by the workers.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/l7/access_log.h"
#include "dataplane/l7/http1_settings.h"
#include "dataplane/l7/http2_session.h"
#include "dataplane/l7/tls_settings.h"
#include "lb/l7/circuit_breaker.h"
#include "lb/l7/endpoint.h"
#include "lb/l7/path_normalization.h"
#include "lb/l7/pick_settings.h"
#include "lb/l7/route_config.h"
#include "lb/l7/trace_context.h"

namespace sluice::l7 {

enum class HttpVersion : uint8_t { kHttp1, kHttp2 };

/// Of connections to endpoints: they are the site's own, and one that refuses or resets many streams is
/// overloaded, not hostile. One that sends frames without use all the time is broken.
inline Http2Settings endpoint_http2_settings() {
  Http2Settings settings;
  settings.abuse_limit = 10'000;
  settings.cancel_limit = 1'000'000;
  return settings;
}

/// Which requests have spans.
struct TracingSettings {
  SampleRatio sample;          ///< of the traces that begin here
  bool follow_clients = true;  ///< a client's traceparent is joined, and says whether the trace is sampled
};

/// Servers that answer the same requests.
struct ClusterSettings {
  std::string name;
  HttpVersion protocol = HttpVersion::kHttp2;
  Http2Settings http2 = endpoint_http2_settings();
  Http1Settings http1;
  std::optional<TlsClientSettings> tls;
  PickSettings pick;
  std::vector<Endpoint> endpoints;
  std::chrono::milliseconds connect_timeout{1000};
  std::chrono::milliseconds tcp_timeout{20'000};  ///< for TCP's own acknowledgements; 0: as the kernel has it
  std::chrono::milliseconds ping_interval{0};  ///< of silence, until the endpoint is asked (HTTP/2); 0: never
  std::chrono::milliseconds ping_timeout{10'000};  ///< for any byte after that
  uint32_t preconnect = 0;  ///< connections to each endpoint, by each worker, before there are requests
  std::chrono::milliseconds pending_timeout{5000};  ///< how long a request waits for a connection
  uint32_t endpoint_connections = 32;               ///< to one endpoint, by one worker; at least 1
  CircuitLimits circuit;
  RetryBudget retry_budget;
  StreakLimits streaks;  ///< errors in a row of which the control side is told
};

struct ListenerSettings {
  std::string name;
  IpAddress address;
  uint16_t port = 0;
  bool http1_allowed = true;  ///< at least one of the two is
  bool http2_allowed = true;
  Http2Settings http2;
  Http1Settings http1;
  std::optional<TlsServerSettings> tls;
  RouteConfig routes;
  PathRules paths;          ///< before routing
  std::string health_path;  ///< answered by the proxy itself: 200, or 503 while it drains; "": none
  std::shared_ptr<const AccessLog> access_log;  ///< nullptr: none
  uint32_t access_log_target = 0;               ///< the writer's number for access_log->to
  bool forwarded_for = true;                    ///< the client's address is appended to x-forwarded-for
  std::optional<SampleRatio> trace_sample;      ///< nothing: as ProxySettings::tracing has it

  // What clients may take; 0: no limit.
  uint32_t max_clients = 0;                              ///< connected at once, over all workers
  size_t max_client_memory = 0;                          ///< bytes that one connection makes the proxy hold
  uint32_t max_client_requests = 0;                      ///< on one connection, until it is asked to go
  std::chrono::milliseconds max_client_age{0};           ///< likewise, a tenth more or less
  std::chrono::milliseconds keepalive_timeout{600'000};  ///< without a request
  std::chrono::milliseconds header_timeout{15'000};      ///< for a request's head, or a frame, to be whole
  std::chrono::milliseconds stall_timeout{120'000};  ///< without a byte taken of what waits for the client
};

struct ProxySettings {
  uint32_t workers = 1;
  bool count_routes = true;                ///< each route has counters of its own
  std::vector<int> cpus;                   ///< one per worker; empty: not pinned
  uint64_t memory_limit = 0;               ///< bytes that peers make the proxy hold; 0: no limit
  uint32_t max_clients = 0;                ///< connected at once, over all workers and listeners; 0: no limit
  std::optional<TracingSettings> tracing;  ///< nothing: requests are not traced
  std::vector<ListenerSettings> listeners;
  std::vector<ClusterSettings> clusters;
};

}  // namespace sluice::l7
