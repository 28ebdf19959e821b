#include "dataplane/l7/upstream_pool.h"

#include <algorithm>

#include "dataplane/l7/cluster_runtime.h"
#include "dataplane/l7/upstream_connection.h"
#include "dataplane/l7/worker_context.h"

namespace sluice::l7 {
namespace {

// What a server lets through at once if it does not say (RFC 9113 section 6.5.2 recommends no smaller limit).
constexpr size_t kStreamsPerNewConnection = 100;

constexpr std::chrono::milliseconds kFirstBackoff{100};
constexpr std::chrono::milliseconds kLongestBackoff{5000};

size_t streams_per_connection(HttpVersion version) {
  return version == HttpVersion::kHttp2 ? kStreamsPerNewConnection : 1;
}

}  // namespace

UpstreamPool::UpstreamPool(WorkerContext& worker, ClusterRuntime& cluster, EndpointId id,
                           std::shared_ptr<EndpointState> endpoint)
    : worker_(worker),
      cluster_(cluster),
      id_(std::move(id)),
      endpoint_(std::move(endpoint)),
      counters_(endpoint_->traffic->of(worker.index)) {}

UpstreamPool::~UpstreamPool() {
  while (!connections_.empty()) connections_.back()->shut("the endpoint has gone");
}

bool UpstreamPool::takes(UpstreamConnection& connection, const Exchange& exchange) {
  if (!connection.has_room()) return false;
  return !exchange.extended_connect() || connection.codec().peer_extended_connect().has_value();
}

UpstreamConnection* UpstreamPool::least_busy(const Exchange& exchange) {
  UpstreamConnection* found = nullptr;
  for (UpstreamConnection* connection : connections_) {
    if (!takes(*connection, exchange)) continue;
    if (found == nullptr || connection->codec().open_streams() < found->codec().open_streams())
      found = connection;
  }
  return found;
}

// The first that has room, not the least busy one: full batches cost less, and the last ones fall idle. But a
// body does not go where it has to wait behind those of others: many servers let 64 KB through per
// connection, and some none as long as one of their handlers does not read. It waits for a window that opens
// or for one connection more, whichever comes first.
UpstreamConnection* UpstreamPool::with_room(const Exchange& exchange) {
  const bool body = exchange.brings_body();
  for (UpstreamConnection* connection : connections_) {
    if (takes(*connection, exchange) && !(body && connection->holds_up_bodies())) return connection;
  }
  if (!body) return nullptr;
  UpstreamConnection* const held_up = least_busy(exchange);
  return held_up != nullptr && widen() ? nullptr : held_up;
}

// Whether there will be a connection more.
bool UpstreamPool::widen() {
  if (connecting_ != 0) return true;
  if (connections_.size() >= cluster_.settings().endpoint_connections) return false;
  if (worker_.loop.now() < retry_after_ || !take_connection()) return false;
  if (connect()) return true;
  cluster_.breakers().connections.give_back();
  return false;
}

void UpstreamPool::begin(Exchange& exchange, UpstreamConnection& connection) {
  if (exchange.extended_connect() && !*connection.codec().peer_extended_connect()) {
    exchange.on_no_connection(Outcome::kUpgradeRefused);
  } else {
    exchange.start(connection);
  }
}

void UpstreamPool::submit(Exchange& exchange) {
  // Those that wait for a window have no place before one that needs none.
  if (pending_.empty() || !exchange.brings_body()) {
    if (UpstreamConnection* connection = with_room(exchange)) {
      begin(exchange, *connection);
      return;
    }
  }
  if (!cluster_.breakers().pending.try_take(cluster_.settings().circuit.pending)) {
    if (UpstreamConnection* connection = least_busy(exchange)) {
      begin(exchange, *connection);
    } else {
      exchange.on_no_connection(Outcome::kPendingFull);
    }
    return;
  }
  pending_.push_back(exchange);
  exchange.wait_in(*this);
  ++pending_count_;
  if (!connect_if_needed()) fail_pending();
}

void UpstreamPool::withdraw(Exchange& exchange) {
  exchange.unlink();
  --pending_count_;
  cluster_.breakers().pending.give_back();
}

// Requests that have another endpoint leave this one alone for a while, longer each time.
void UpstreamPool::back_off() {
  backoff_ = std::clamp(backoff_ * 2, kFirstBackoff, kLongestBackoff);
  retry_after_ = worker_.loop.now() + backoff_;
}

void UpstreamPool::on_connected() {
  --connecting_;
  backoff_ = std::chrono::milliseconds(0);
  serve_pending();
}

// False: nothing is there to wait for.
bool UpstreamPool::connect_if_needed() {
  while (connecting_ * streams_per_connection(cluster_.settings().protocol) < pending_count_ &&
         connections_.size() < cluster_.settings().endpoint_connections) {
    if (!take_connection()) return true;
    if (connect()) continue;
    cluster_.breakers().connections.give_back();
    return !connections_.empty();
  }
  return true;
}

// The first one here is let through at the cluster's limit, too: nobody else's end would serve who waits
// here.
bool UpstreamPool::take_connection() {
  LimitedCount& connections = cluster_.breakers().connections;
  if (!connections_.empty()) return connections.try_take(cluster_.settings().circuit.connections);
  connections.take();
  return true;
}

void UpstreamPool::serve_pending() {
  if (!serve_who_has_room()) connect_if_needed();
}

// False: some still wait.
bool UpstreamPool::serve_who_has_room() {
  while (!pending_.empty()) {
    Exchange& exchange = pending_.front();
    UpstreamConnection* connection = with_room(exchange);
    if (connection == nullptr) return false;
    withdraw(exchange);
    begin(exchange, *connection);
  }
  return true;
}

bool UpstreamPool::connect() {
  cluster_.counters().connects.add(1);
  const auto fd = start_connect(id_.address, id_.port, cluster_.settings().tcp_timeout);
  if (!fd) {
    note_connect_failure(fd.error().message);
    return false;
  }
  auto tls =
      cluster_.tls() ? cluster_.tls()->open_session(*fd, id_.address.to_string(), resumption_) : nullptr;
  auto connection = std::make_unique<UpstreamConnection>(worker_, *fd, *this, cluster_.counters().bytes,
                                                         cluster_.shared_settings(), std::move(tls));
  if (!connection->open()) {
    note_connect_failure("the socket cannot be watched");
    return false;
  }
  connections_.push_back(connection.release());
  counters_.connections_made.add(1);
  ++connecting_;
  return true;
}

void UpstreamPool::preconnect() {
  while (connections_.size() < cluster_.settings().preconnect && !failing(worker_.loop.now())) {
    if (!cluster_.breakers().connections.try_take(cluster_.settings().circuit.connections)) return;
    if (connect()) continue;
    cluster_.breakers().connections.give_back();
    back_off();
    return;
  }
}

void UpstreamPool::note_connect_failure(std::string_view why) {
  cluster_.counters().connect_failures.add(1);
  counters_.connect_failures.add(1);
  endpoint_->traffic->note_connect_failure(why, std::chrono::system_clock::now());
}

void UpstreamPool::note_silence() {
  cluster_.counters().silences.add(1);
}

void UpstreamPool::forget(UpstreamConnection& connection, const char* why) {
  std::erase(connections_, &connection);
  counters_.connections_over.add(1);
  cluster_.breakers().connections.give_back();
  if (!connection.connected()) {
    --connecting_;
    note_connect_failure(why);
    cluster_.record(*this, RequestResult::kConnectFailure);
    back_off();
    if (connections_.empty()) {
      fail_pending();
    } else {
      serve_who_has_room();
    }
  } else if (!connect_if_needed()) {
    fail_pending();
  }
}

void UpstreamPool::fail_pending() {
  IntrusiveList<Exchange, PendingTag> failed;
  failed.take_all(pending_);
  while (!failed.empty()) {
    // Each by itself: the end of one may end another, which then withdraws.
    Exchange& exchange = failed.front();
    withdraw(exchange);
    exchange.on_no_connection(Outcome::kConnectFailed);
  }
}

}  // namespace sluice::l7
