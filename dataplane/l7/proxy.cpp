#include "dataplane/l7/proxy.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <random>

namespace sluice::l7 {
namespace {

/// Listening sockets that are closed again unless all could be opened.
class Sockets {
 public:
  ~Sockets() {
    for (const auto& worker : of_workers_) {
      for (const int fd : worker) {
        if (fd >= 0) close(fd);
      }
    }
  }

  /// For each worker one of each listener that `before` has not.
  Result<void> open(const ProxySettings& settings, const ProxySettings* before) {
    of_workers_.resize(settings.workers);
    for (const ListenerSettings& listener : settings.listeners) {
      const auto same = [&listener](const ListenerSettings& other) {
        return other.name == listener.name && other.address == listener.address &&
               other.port == listener.port;
      };
      const bool keep =
          before != nullptr && std::any_of(before->listeners.begin(), before->listeners.end(), same);
      for (auto& worker : of_workers_) {
        const auto fd = keep ? Result<int>(-1) : listen_on(listener.address, listener.port);
        if (!fd) return fail(fmt::format("listener {}: {}", listener.name, fd.error().message));
        worker.push_back(*fd);
      }
    }
    return {};
  }
  std::vector<int> release(uint32_t worker) { return std::exchange(of_workers_[worker], {}); }

 private:
  std::vector<std::vector<int>> of_workers_;
};

}  // namespace

Result<std::unique_ptr<Proxy>> Proxy::start(ProxySnapshot snapshot,
                                            std::function<void(const std::string&)> on_streak) {
  auto proxy = std::make_unique<Proxy>();
  proxy->snapshot_ = std::move(snapshot);
  const ProxySettings& settings = *proxy->snapshot_.settings;
  proxy->snapshot_.shared->memory.set_limit(settings.memory_limit);
  Sockets sockets;
  if (auto opened = sockets.open(settings, nullptr); !opened) return tl::unexpected(opened.error());
  std::random_device seed;
  for (uint32_t i = 0; i < settings.workers; ++i) {
    auto worker =
        Worker::make(proxy->snapshot_, sockets.release(i), i, uint64_t{seed()} << 32 | seed(), on_streak);
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

Result<void> Proxy::apply(ProxySnapshot snapshot) {
  Sockets sockets;
  if (auto opened = sockets.open(*snapshot.settings, snapshot_.settings.get()); !opened) return opened;
  snapshot_ = std::move(snapshot);
  snapshot_.shared->memory.set_limit(snapshot_.settings->memory_limit);
  for (uint32_t i = 0; i < workers_.size(); ++i) workers_[i]->apply(snapshot_, sockets.release(i));
  return {};
}

void Proxy::turn_health() {
  for (auto& worker : workers_) worker->turn_health();
}

void Proxy::drain(std::chrono::milliseconds spread) {
  for (auto& worker : workers_) worker->drain(spread);
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
