#include "dataplane/l7/cluster_runtime.h"

#include <tuple>

#include "dataplane/l7/worker_context.h"

namespace sluice::l7 {
namespace {

// What a connection has begun with, and goes on with for as long as it lasts.
bool speaks_alike(const ClusterSettings& one, const ClusterSettings& other) {
  if (one.protocol != other.protocol || one.tls.has_value() != other.tls.has_value()) return false;
  const auto fields = [](const TlsClientSettings& tls) {
    return std::tie(tls.verify, tls.ca, tls.server_name, tls.min_version, tls.ciphers, tls.ciphersuites,
                    tls.certificate, tls.key);
  };
  return !one.tls || fields(*one.tls) == fields(*other.tls);
}

}  // namespace

ClusterRuntime::ClusterRuntime(WorkerContext& worker, std::shared_ptr<const ClusterSettings> settings,
                               const ProxySnapshot::Cluster& shared)
    : worker_(worker),
      settings_(std::move(settings)),
      breakers_(shared.breakers),
      counters_(shared.counters, &shared.counters->of(worker.index)) {
  use(shared.endpoints);
}

void ClusterRuntime::use(EndpointSet::Pointer endpoints) {
  picker_.use(std::move(endpoints), worker_.loop.now(), worker_.random);
  const EndpointSet& set = *picker_.set();
  // A slot may belong to another endpoint now. Pools of endpoints that have gone live on until nobody uses
  // them.
  std::vector<std::unique_ptr<UpstreamPool>> pools(set.slots());
  for (uint32_t i = 0; i < set.endpoints().size(); ++i) {
    const uint32_t slot = set.state(i)->slot;
    if (slot < pools_.size() && pools_[slot] && &pools_[slot]->endpoint() == set.state(i).get())
      pools[slot] = std::move(pools_[slot]);
  }
  pools_.swap(pools);
  for (auto& pool : pools) {
    if (pool) worker_.retire(std::move(pool));
  }
}

void ClusterRuntime::configure(std::shared_ptr<const ClusterSettings> settings,
                               TlsClientContext::Pointer tls) {
  if (!speaks_alike(*settings_, *settings)) {
    for (auto& pool : pools_) {
      if (pool) worker_.retire(std::move(pool));
    }
  }
  settings_ = std::move(settings);
  tls_ = std::move(tls);
}

void ClusterRuntime::preconnect() {
  if (settings_->preconnect == 0) return;
  const auto endpoints = picker_.set()->endpoints();
  for (uint32_t i = 0; i < endpoints.size(); ++i) {
    if (endpoints[i].available() && endpoints[i].weight != 0) pool(i).preconnect();
  }
}

std::optional<uint32_t> ClusterRuntime::pick(std::optional<uint64_t> hash,
                                             std::span<const EndpointState* const> excluded) {
  return picker_.pick({hash, excluded}, worker_.loop.now(), worker_.random);
}

void ClusterRuntime::on_answer(UpstreamPool& pool, std::chrono::nanoseconds took, RequestResult result) {
  const CountedTime time(took);
  counters_->first_byte.count(time);
  pool.counters().answers.add(1);
  pool.counters().first_byte_nanoseconds.add(time.nanoseconds);
  if (picks_by_time())
    picker_.observe(pool.endpoint(), took, result != RequestResult::kSuccess, worker_.loop.now());
}

void ClusterRuntime::on_no_answer(UpstreamPool& pool, std::chrono::nanoseconds waited) {
  if (picks_by_time()) picker_.observe(pool.endpoint(), waited, true, worker_.loop.now());
}

void ClusterRuntime::record(UpstreamPool& pool, RequestResult result) {
  const bool row_is_long = pool.endpoint().results.record(worker_.index, result, settings_->streaks);
  if (row_is_long && worker_.events.on_streak) worker_.events.on_streak(settings_->name);
}

UpstreamPool& ClusterRuntime::pool(uint32_t endpoint) {
  const std::shared_ptr<EndpointState>& state = picker_.set()->state(endpoint);
  auto& pool = pools_[state->slot];
  if (!pool)
    pool = std::make_unique<UpstreamPool>(worker_, *this, picker_.set()->endpoints()[endpoint].id, state);
  return *pool;
}

}  // namespace sluice::l7
