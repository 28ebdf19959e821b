#include "control/proxy/discoveries.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>

#include "control/log_line.h"
#include "control/proxy/cluster_discovery.h"

namespace sluice::control {
namespace {

constexpr std::array kEvents{
    DiscoveryEvent{"endpoints_changed",
                   "A cluster's discovered endpoints are others now: how many, which came and which went."},
    DiscoveryEvent{
        "discovery_failed",
        "A name cannot be resolved, or a file cannot be read or holds mistakes; what was good last "
        "is kept. Once for each error, not for each repetition."},
    DiscoveryEvent{"discovery_empty",
                   "A name is not there, or has no addresses; by when_empty its endpoints are kept."},
    DiscoveryEvent{"discovery_recovered", "A source is good again, after_s seconds after it was good last."},
    DiscoveryEvent{
        "discovery_late",
        "At the start, clusters had no answer within proxy.discovery_wait; clients are taken now."},
    DiscoveryEvent{"files_not_watched",
                   "Files of endpoints cannot be watched; they are read at a reload only."},
};

}  // namespace

std::span<const DiscoveryEvent> discovery_events() {
  return kEvents;
}

Discoveries::Discoveries(boost::asio::io_context& io, OnChange on_change)
    : io_(io), on_change_(std::move(on_change)), files_(io, [this] { read_files(); }) {}

Discoveries::~Discoveries() = default;

void Discoveries::use(const ProxyConfig& config, const Known& known) {
  in_use_ = true;
  std::map<std::string, std::unique_ptr<ClusterDiscovery>> clusters;
  for (size_t i = 0; i < config.care.size(); ++i) {
    const ClusterCare& care = config.care[i];
    if (!care.discovery) continue;
    const std::string& name = config.settings.clusters[i].name;
    const auto before = clusters_.find(name);
    if (before != clusters_.end() && before->second->settings() == *care.discovery &&
        before->second->health_port() == care.health.port) {
      clusters[name] = std::move(before->second);
      continue;
    }
    clusters[name] = std::make_unique<ClusterDiscovery>(io_, name, care, known(name), [this, name] {
      // Who calls use() looks at everything anyhow.
      if (!in_use_) on_change_(name);
    });
  }
  clusters_.swap(clusters);
  watch_files();
  read_files();
  in_use_ = false;
}

void Discoveries::watch_files() {
  std::vector<std::string> paths;
  for (const auto& [name, cluster] : clusters_) {
    if (const std::string* path = cluster->path()) paths.push_back(*path);
  }
  if (auto watched = files_.watch(std::move(paths)); !watched)
    spdlog::error("event=files_not_watched error={}", log_quoted(watched.error().message));
}

void Discoveries::read_files() {
  for (const auto& [name, cluster] : clusters_) {
    if (cluster->path() != nullptr) cluster->read_file();
  }
}

const ClusterEndpoints* Discoveries::find(const std::string& cluster) const {
  const auto found = clusters_.find(cluster);
  return found == clusters_.end() ? nullptr : &found->second->endpoints();
}

bool Discoveries::settled() const {
  return std::ranges::all_of(clusters_, [](const auto& item) { return item.second->settled(); });
}

std::vector<std::string> Discoveries::unsettled() const {
  std::vector<std::string> names;
  for (const auto& [name, cluster] : clusters_) {
    if (!cluster->settled()) names.push_back(name);
  }
  return names;
}

std::vector<DiscoveryStatus> Discoveries::status() const {
  std::vector<DiscoveryStatus> all;
  for (const auto& [name, cluster] : clusters_) all.push_back(cluster->status());
  return all;
}

}  // namespace sluice::control
