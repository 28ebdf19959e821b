#include "dataplane/l7/proxy.h"

#include <fmt/format.h>

#include <random>

namespace sluice::l7 {

Result<std::unique_ptr<Proxy>> Proxy::start(ProxySnapshot snapshot,
                                            std::function<void(const std::string&)> on_streak) {
  auto proxy = std::make_unique<Proxy>();
  proxy->snapshot_ = std::move(snapshot);
  const ProxySettings& settings = *proxy->snapshot_.settings;
  std::random_device seed;
  for (uint32_t i = 0; i < settings.workers; ++i) {
    auto worker = Worker::make(proxy->snapshot_, i, uint64_t{seed()} << 32 | seed(), on_streak);
    if (!worker) return tl::unexpected(worker.error());
    proxy->workers_.push_back(*std::move(worker));
  }
  for (uint32_t i = 0; i < settings.workers; ++i) {
    proxy->workers_[i]->start(i < settings.cpus.size() ? settings.cpus[i] : -1,
                              fmt::format("l7-worker-{}", i));
  }
  return proxy;
}

void Proxy::stop() {
  for (auto& worker : workers_) worker->stop();
}

void Proxy::use_endpoints(const std::string& cluster, const EndpointSet::Pointer& endpoints) {
  snapshot_.clusters.at(cluster).endpoints = endpoints;
  for (auto& worker : workers_) worker->use_endpoints(cluster, endpoints);
}

}  // namespace sluice::l7
