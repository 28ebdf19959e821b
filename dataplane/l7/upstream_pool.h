// One worker's connections to one endpoint, and the requests that wait for one of them.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "dataplane/l7/exchange.h"
#include "dataplane/l7/intrusive_list.h"
#include "dataplane/l7/settings.h"
#include "dataplane/l7/tls_client_context.h"

namespace sluice::l7 {

class ClusterRuntime;
class UpstreamConnection;

class UpstreamPool {
 public:
  UpstreamPool(WorkerContext& worker, ClusterRuntime& cluster, EndpointId id,
               std::shared_ptr<EndpointState> endpoint);
  UpstreamPool(const UpstreamPool&) = delete;
  UpstreamPool& operator=(const UpstreamPool&) = delete;
  ~UpstreamPool();

  /// Sends the request on a connection with room, or lets it wait for one; it is told in either case.
  void submit(Exchange& exchange);
  /// Makes connections before there are requests, as many as the cluster's settings say.
  void preconnect();
  /// A request that waits goes away.
  void withdraw(Exchange& exchange);
  /// A connection has been made.
  void on_connected();
  /// A connection has got room: sends what waits.
  void serve_pending();
  /// A connection is over. If it never was one, requests that wait are told (`why`).
  void forget(UpstreamConnection& connection, const char* why);

  /// A connection is given up because the endpoint is silent.
  void note_silence();

  /// A request counts at the endpoint from enter() to leave().
  void enter() {
    endpoint_->start_request();
    ++requests_;
  }
  void leave() {
    endpoint_->end_request();
    --requests_;
  }
  /// No connection is there, and the last attempt failed so recently that another one is not worth it.
  bool failing(std::chrono::steady_clock::time_point now) const {
    return connections_.empty() && now < retry_after_;
  }
  /// No request counts here.
  bool unused() const { return requests_ == 0; }
  const EndpointId& id() const { return id_; }
  EndpointState& endpoint() { return *endpoint_; }
  size_t connections() const { return connections_.size(); }
  EndpointCounters& counters() { return counters_; }
  const ClusterRuntime& cluster() const { return cluster_; }
  /// Calls `visit(UpstreamConnection&)` for each.
  template <typename Visit>
  void for_each_connection(Visit visit) {
    for (UpstreamConnection* connection : connections_) visit(*connection);
  }

 private:
  static bool takes(UpstreamConnection& connection, const Exchange& exchange);
  UpstreamConnection* with_room(const Exchange& exchange);
  UpstreamConnection* least_busy(const Exchange& exchange);
  void begin(Exchange& exchange, UpstreamConnection& connection);
  bool connect();
  bool connect_if_needed();
  bool widen();
  bool serve_who_has_room();
  bool take_connection();
  void back_off();
  void fail_pending();
  void note_connect_failure(std::string_view why);

  WorkerContext& worker_;
  ClusterRuntime& cluster_;
  EndpointId id_;
  std::shared_ptr<EndpointState> endpoint_;
  EndpointCounters& counters_;  // this worker's of the endpoint
  std::vector<UpstreamConnection*> connections_;
  size_t connecting_ = 0;
  IntrusiveList<Exchange, PendingTag> pending_;
  size_t pending_count_ = 0;
  size_t requests_ = 0;
  std::chrono::steady_clock::time_point retry_after_{};
  std::chrono::milliseconds backoff_{0};
  std::shared_ptr<TlsResumption> resumption_ = std::make_shared<TlsResumption>();
};

}  // namespace sluice::l7
