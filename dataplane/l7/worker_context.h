// What the connections of one worker share.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/l7/access_log.h"
#include "dataplane/l7/byte_queue.h"
#include "dataplane/l7/connection.h"
#include "dataplane/l7/event_loop.h"
#include "dataplane/l7/exchange.h"
#include "dataplane/l7/header_list.h"
#include "dataplane/l7/object_pool.h"
#include "dataplane/l7/settings.h"
#include "dataplane/l7/snapshot.h"
#include "dataplane/l7/tls_session.h"
#include "dataplane/l7/upstream_pool.h"
#include "dataplane/l7/worker_counters.h"
#include "dataplane/l7/worker_events.h"
#include "lb/l7/random.h"

namespace sluice::l7 {

class ClusterRuntime;

/// A configuration, as long as requests of this worker run under it. A count of the worker's own: the shared
/// pointer's would go from core to core with every request.
struct ConfigInUse {
  struct Listener {
    const ListenerSettings* settings;
    RouteTable::Pointer routes;
    std::shared_ptr<const TlsServerContext> tls;  ///< nullptr: cleartext
    ListenerTraffic::Pointer traffic;
    std::vector<RouteCounters*> route_counters;  ///< this worker's, by MatchedRoute::index()
    std::shared_ptr<LimitedCount> clients;       ///< connected there, over all workers
  };
  std::shared_ptr<const ProxySettings> settings;
  std::vector<Listener> listeners;                        ///< as in the settings
  std::vector<std::shared_ptr<ClusterRuntime>> clusters;  ///< likewise; routes name them by their place
  LimiterMap limiters;
  ByteRing* spans = nullptr;  ///< nullptr: requests are not traced
  uint64_t exchanges = 0;
};

struct WorkerContext {
  WorkerContext(EventLoop& event_loop, uint32_t worker_index, uint64_t seed,
                std::shared_ptr<ProxyShared> what_is_shared)
      : loop(event_loop),
        index(worker_index),
        shared(std::move(what_is_shared)),
        memory(shared->memory),
        exchanges(*this),
        random(seed),
        input(kInputBytes) {}

  // A frame's beginning from the last time, and what one read takes.
  static constexpr size_t kReadBytes = 64 * 1024;
  static constexpr size_t kInputBytes = kReadBytes + 32 * 1024;

  /// Keeps a pool that no pick names any more until its last request has ended.
  void retire(std::unique_ptr<UpstreamPool> pool) { retired.push_back(std::move(pool)); }

  /// Of connections of clients (we are the server there) or to endpoints.
  TlsCounters& tls_counters(TlsSession::Role role) {
    return role == TlsSession::Role::kServer ? client_tls : upstream_tls;
  }

  /// Memory that waits for the next connection or request, in bytes.
  size_t kept_bytes() const { return chunks.kept_bytes() + kept_exchange_bytes; }

  EventLoop& loop;
  const uint32_t index;  ///< among the workers, from 0
  const std::shared_ptr<ProxyShared> shared;
  MemoryLedger memory;
  MemoryAccount unowned{memory, nullptr};  ///< of copies of requests
  size_t kept_exchange_bytes = 0;          ///< of exchanges that are not in use
  ConfigInUse* config = nullptr;
  bool health_turned = false;  ///< health checks are answered with 503: the proxy is about to end
  bool leaving = false;        ///< clients are asked to go
  ChunkPool chunks;
  HeaderList headers;   ///< of the head that a codec has just read
  HeaderList outgoing;  ///< of a head that is being made
  ObjectPool<Exchange, WorkerContext> exchanges;
  Random random;
  std::vector<uint8_t> input;
  TlsCounters client_tls;
  TlsCounters upstream_tls;
  IntrusiveList<Connection, UnflushedTag> unflushed;
  WorkerCounters counters;
  uint64_t clients_gone = 0;                        ///< in this wake-up
  std::vector<std::unique_ptr<Connection>> closed;  ///< deleted at the end of the wake-up
  std::vector<std::unique_ptr<UpstreamPool>> retired;
  std::vector<HeaderView> header_views;        ///< scratch: a request as routing sees it
  std::shared_ptr<AccessLogRings> access_log;  ///< nullptr: none was ever configured
  std::string log_line;                        ///< scratch: a line of the access log
  SpanRings::Pointer span_rings;               ///< nullptr: nothing was ever traced
  SpanTexts span_texts;                        ///< scratch: of a span that is being made
  std::string text;                            ///< scratch: a field that is being made
  WorkerEvents events;
};

}  // namespace sluice::l7
