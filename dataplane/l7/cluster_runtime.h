// A cluster on one worker: which endpoint is next, and the connections to each.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/l7/settings.h"
#include "dataplane/l7/snapshot.h"
#include "dataplane/l7/tls_client_context.h"
#include "dataplane/l7/upstream_pool.h"
#include "lb/l7/circuit_breaker.h"
#include "lb/l7/picker.h"

namespace sluice::l7 {

class ClusterRuntime {
 public:
  /// `shared`: what all workers have in common of it.
  ClusterRuntime(WorkerContext& worker, std::shared_ptr<const ClusterSettings> settings,
                 const ProxySnapshot::Cluster& shared);

  /// The endpoint for a request, none of `excluded`, or nothing. `hash`: for hash policies.
  std::optional<uint32_t> pick(std::optional<uint64_t> hash, std::span<const EndpointState* const> excluded);
  /// The connections to an endpoint that pick() named.
  UpstreamPool& pool(uint32_t endpoint);
  /// The head of an answer has come, so long after the endpoint had the request.
  void on_answer(UpstreamPool& pool, std::chrono::nanoseconds took, RequestResult result);
  /// No answer came, so long after that.
  void on_no_answer(UpstreamPool& pool, std::chrono::nanoseconds waited);
  /// The pool of a slot below slots(), or nullptr.
  UpstreamPool* pool_at(size_t slot) const { return slot < pools_.size() ? pools_[slot].get() : nullptr; }
  size_t slots() const { return pools_.size(); }
  /// How a request to an endpoint ended, for the outlier detector.
  void record(UpstreamPool& pool, RequestResult result);

  /// Connects to endpoints that may get requests, if the settings ask for that.
  void preconnect();
  /// Picks among `endpoints` from now on; requests under way stay where they are.
  void use(EndpointSet::Pointer endpoints);
  /// Settings that have changed, of the same cluster. Connections stay, unless endpoints are to be spoken to
  /// in another way: then they end with their last request.
  void configure(std::shared_ptr<const ClusterSettings> settings, TlsClientContext::Pointer tls);

  CircuitBreakers& breakers() { return *breakers_; }
  const ClusterSettings& settings() const { return *settings_; }
  const std::shared_ptr<const ClusterSettings>& shared_settings() const { return settings_; }
  const EndpointSet& endpoints() const { return *picker_.set(); }
  /// nullptr: cleartext.
  const TlsClientContext::Pointer& tls() const { return tls_; }
  /// This worker's.
  ClusterCounters& counters() { return *counters_; }

 private:
  bool picks_by_time() const { return picker_.set()->settings().policy == PickPolicy::kPeakEwma; }

  WorkerContext& worker_;
  std::shared_ptr<const ClusterSettings> settings_;
  std::shared_ptr<CircuitBreakers> breakers_;  // of all workers
  std::shared_ptr<ClusterCounters> counters_;
  TlsClientContext::Pointer tls_;
  Picker picker_;
  std::vector<std::unique_ptr<UpstreamPool>> pools_;  // by slot of the endpoint's state
};

}  // namespace sluice::l7
