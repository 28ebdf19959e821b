#include "dataplane/l7/cluster_runtime.h"

#include "dataplane/l7/worker_context.h"

namespace sluice::l7 {

ClusterRuntime::ClusterRuntime(WorkerContext& worker, std::shared_ptr<const ClusterSettings> settings,
                               EndpointSet::Pointer endpoints)
    : worker_(worker), settings_(std::move(settings)) {
  use(std::move(endpoints));
}

void ClusterRuntime::use(EndpointSet::Pointer endpoints) {
  picker_.use(std::move(endpoints), worker_.loop.now(), worker_.random);
  if (pools_.size() < picker_.set()->slots()) pools_.resize(picker_.set()->slots());
}

std::optional<uint32_t> ClusterRuntime::pick(WorkerContext& worker) {
  return picker_.pick({}, worker.loop.now(), worker.random);
}

UpstreamPool& ClusterRuntime::pool(uint32_t endpoint) {
  const std::shared_ptr<EndpointState>& state = picker_.set()->state(endpoint);
  auto& pool = pools_[state->slot];
  if (!pool)
    pool =
        std::make_unique<UpstreamPool>(worker_, *settings_, picker_.set()->endpoints()[endpoint].id, state);
  return *pool;
}

}  // namespace sluice::l7
