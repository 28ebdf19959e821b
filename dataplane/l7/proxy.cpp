#include "dataplane/l7/proxy.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>

#include <algorithm>
#include <random>

namespace sluice::l7 {
namespace {

// A worker that is not where it was put would share its core with who knows what.
Result<void> check_cores(const std::vector<int>& wanted) {
  if (wanted.empty()) return {};
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return {};
  std::vector<int> usable;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(static_cast<size_t>(core), &set)) usable.push_back(core);
  }
  for (const int core : wanted) {
    if (std::find(usable.begin(), usable.end(), core) != usable.end()) continue;
    return fail(fmt::format("proxy.cores: found {}; accepted: cores on which this process may run: {}", core,
                            fmt::join(usable, ", ")));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Proxy>> Proxy::start(ProxySnapshot snapshot, WorkerEvents events,
                                            const BoundSockets& inherited) {
  auto proxy = std::make_unique<Proxy>();
  proxy->snapshot_ = std::move(snapshot);
  const ProxySettings& settings = *proxy->snapshot_.settings;
  if (auto cores = check_cores(settings.cpus); !cores) return tl::unexpected(cores.error());
  proxy->snapshot_.shared->memory.set_limit(settings.memory_limit);
  auto sockets = open_sockets(settings, inherited);
  if (!sockets) return tl::unexpected(sockets.error());
  proxy->sockets_ = *std::move(sockets);
  std::random_device seed;
  for (uint32_t i = 0; i < settings.workers; ++i) {
    auto worker = Worker::make(proxy->snapshot_, sockets_of_worker(settings, proxy->sockets_, i), i,
                               uint64_t{seed()} << 32 | seed(), events);
    if (!worker) return tl::unexpected(worker.error());
    proxy->workers_.push_back(*std::move(worker));
  }
  for (uint32_t i = 0; i < settings.workers; ++i) {
    proxy->workers_[i]->start(i < settings.cpus.size() ? settings.cpus[i] : -1,
                              fmt::format("l7-worker-{}", i));
  }
  return proxy;
}

void Proxy::accept() {
  for (auto& worker : workers_) worker->accept();
}

void Proxy::stop() {
  for (auto& worker : workers_) worker->stop();
}

Result<void> Proxy::apply(ProxySnapshot snapshot) {
  auto sockets = open_sockets(*snapshot.settings, sockets_);
  if (!sockets) return tl::unexpected(sockets.error());
  sockets_ = *std::move(sockets);
  snapshot_ = std::move(snapshot);
  snapshot_.shared->memory.set_limit(snapshot_.settings->memory_limit);
  for (uint32_t i = 0; i < workers_.size(); ++i)
    workers_[i]->apply(snapshot_, sockets_of_worker(*snapshot_.settings, sockets_, i));
  return {};
}

void Proxy::turn_health(bool draining) {
  for (auto& worker : workers_) worker->turn_health(draining);
}

void Proxy::survey_connections(const ConnectionFilter& filter, size_t limit,
                               const std::function<void(ConnectionsFound)>& done) {
  for (auto& worker : workers_) worker->survey_connections(filter, limit, done);
}

void Proxy::drain(std::chrono::milliseconds notice, std::chrono::milliseconds spread) {
  sockets_.clear();
  for (auto& worker : workers_) worker->drain(notice, spread);
}

std::map<std::string, ListenerLoad> Proxy::load() const {
  std::map<std::string, ListenerLoad> loads;
  for (const auto& worker : workers_) {
    for (const auto& [listener, load] : worker->load()) {
      loads[listener].clients += load.clients;
      loads[listener].streams += load.streams;
    }
  }
  return loads;
}

uint64_t Proxy::clients() const {
  uint64_t clients = 0;
  for (const auto& worker : workers_) clients += worker->clients();
  return clients;
}

void Proxy::use_endpoints(const std::string& cluster, const EndpointSet::Pointer& endpoints) {
  snapshot_.clusters.at(cluster).endpoints = endpoints;
  for (auto& worker : workers_) worker->use_endpoints(cluster, endpoints);
}

}  // namespace sluice::l7
