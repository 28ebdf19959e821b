#include "dataplane/l7/proxy.h"

#include <fmt/format.h>

#include <random>

namespace sluice::l7 {

Result<std::unique_ptr<Proxy>> Proxy::start(std::shared_ptr<const ProxySettings> settings) {
  auto proxy = std::make_unique<Proxy>();
  std::vector<EndpointSet::Pointer> endpoints;
  for (const ClusterSettings& cluster : settings->clusters) {
    auto set = EndpointSet::build(cluster.pick, cluster.endpoints, nullptr, std::chrono::steady_clock::now());
    if (!set) return fail(fmt::format("cluster {}: {}", cluster.name, set.error().message));
    endpoints.push_back(*std::move(set));
  }
  std::random_device seed;
  for (uint32_t i = 0; i < settings->workers; ++i) {
    auto worker = Worker::make(settings, endpoints, uint64_t{seed()} << 32 | seed());
    if (!worker) return tl::unexpected(worker.error());
    proxy->workers_.push_back(*std::move(worker));
  }
  for (uint32_t i = 0; i < settings->workers; ++i) {
    proxy->workers_[i]->start(i < settings->cpus.size() ? settings->cpus[i] : -1,
                              fmt::format("l7-worker-{}", i));
  }
  return proxy;
}

void Proxy::stop() {
  for (auto& worker : workers_) worker->stop();
}

}  // namespace sluice::l7
