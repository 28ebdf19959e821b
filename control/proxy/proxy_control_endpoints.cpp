// What the control side knows of endpoints, by discovery, checks, ejections and the operator's word, and
// publishes to the workers.
#include <spdlog/spdlog.h>

#include "control/log_line.h"
#include "control/proxy/health_event.h"
#include "control/proxy/proxy_control.h"

namespace sluice::control {
namespace {

// How often ejections that end, and rates at the end of an interval, are looked at.
constexpr std::chrono::milliseconds kTick{100};

}  // namespace

void ProxyControl::on_discovered(const std::string& cluster) {
  if (!proxy_) return;
  check_endpoints();
  for (size_t i = 0; i < config_.settings.clusters.size(); ++i) {
    if (config_.settings.clusters[i].name == cluster) update(i);
  }
}

ProxyControl::KnownEndpoints ProxyControl::endpoints_of(size_t cluster) const {
  const l7::ClusterSettings& settings = config_.settings.clusters[cluster];
  if (const ClusterEndpoints* found = discoveries_.find(settings.name))
    return {found->endpoints, found->check_ports};
  return {settings.endpoints, config_.care[cluster].check_ports};
}

// An endpoint that the operator has taken out of the file is a new one when it comes back.
void ProxyControl::forget_drained() {
  const auto& clusters = proxy_->snapshot().clusters;
  std::erase_if(drained_, [&](const auto& drained) {
    const auto cluster = clusters.find(drained.first);
    return cluster == clusters.end() || !cluster->second.endpoints->find(drained.second);
  });
}

// An address with two ports is two endpoints: the name of the group tells them apart.
std::string ProxyControl::target_of(size_t cluster, const EndpointId& id) const {
  return config_.settings.clusters[cluster].name + "/" + id.to_string();
}

void ProxyControl::check_endpoints() {
  std::vector<HealthTarget> targets;
  for (size_t i = 0; i < config_.care.size(); ++i) {
    const ClusterCare& care = config_.care[i];
    if (care.health.kind == HealthCheckKind::kNone) continue;
    const KnownEndpoints known = endpoints_of(i);
    for (size_t e = 0; e < known.endpoints.size(); ++e) {
      const EndpointId& id = known.endpoints[e].id;
      HealthTarget& target = targets.emplace_back();
      target.pool = target_of(i, id);
      target.backend = id.to_string();
      target.address = id.address;
      target.port = known.check_ports[e];
      target.check = care.health;
      target.policy = care.policy;
      // A proxy that starts must not refuse what its first checks would let through, nor send requests to
      // what another one has just found to be down.
      target.trusted = !known_unhealthy_.contains(target.pool);
    }
  }
  checks_.set_targets(targets);
}

void ProxyControl::watch_outliers() {
  std::unordered_map<std::string, std::unique_ptr<OutlierDetector>> detectors;
  for (size_t i = 0; i < config_.care.size(); ++i) {
    if (!config_.care[i].outlier) continue;
    const std::string& name = config_.settings.clusters[i].name;
    auto& detector = detectors_[name];
    if (!detector || !(detector->settings() == *config_.care[i].outlier)) {
      detector =
          std::make_unique<OutlierDetector>(*config_.care[i].outlier, std::chrono::steady_clock::now());
    }
    detector->use(proxy_->snapshot().clusters.at(name).endpoints);
    detectors[name] = std::move(detector);
  }
  detectors_.swap(detectors);
}

// Publishes the cluster's endpoints as checks and detector see them now.
void ProxyControl::update(size_t cluster) {
  const l7::ClusterSettings& settings = config_.settings.clusters[cluster];
  const EndpointSet::Pointer before = proxy_->snapshot().clusters.at(settings.name).endpoints;
  const auto detector = detectors_.find(settings.name);
  const auto known = endpoints_of(cluster).endpoints;
  std::vector<Endpoint> endpoints(known.begin(), known.end());
  for (Endpoint& endpoint : endpoints) {
    const BackendHealth* health = checks_.find(target_of(cluster, endpoint.id), endpoint.id.address);
    endpoint.healthy = health == nullptr || health->healthy;
    endpoint.ejected = detector != detectors_.end() && detector->second->is_ejected(endpoint.id);
    endpoint.draining = drained_.contains({settings.name, endpoint.id});
  }
  auto set = EndpointSet::build(settings.pick, std::move(endpoints), before.get(),
                                std::chrono::steady_clock::now(), config_.settings.workers);
  if (!set) {
    spdlog::error("event=endpoints_not_updated cluster={} error={}", settings.name,
                  log_quoted(set.error().message));
    return;
  }
  const auto same = [](const Endpoint& a, const Endpoint& b) { return a == b; };
  if (std::ranges::equal((*set)->endpoints(), before->endpoints(), same)) return;
  proxy_->use_endpoints(settings.name, *set);
  if (detector != detectors_.end()) detector->second->use(*set);
}

void ProxyControl::update_all() {
  for (size_t i = 0; i < config_.settings.clusters.size(); ++i) update(i);
}

void ProxyControl::log_outliers(size_t cluster, const std::vector<OutlierEvent>& events) {
  for (const OutlierEvent& event : events) {
    spdlog::warn("event={} cluster={} endpoint={} reason={} observed={:.1f} limit={:.1f}",
                 outlier_change_name(event.change), config_.settings.clusters[cluster].name,
                 event.id.to_string(), outlier_reason_name(event.ejection.reason), event.ejection.observed,
                 event.ejection.limit);
    event_log_.outlier(config_.settings.clusters[cluster].name, event);
  }
}

void ProxyControl::tick() {
  const auto now = std::chrono::steady_clock::now();
  for (size_t i = 0; i < config_.settings.clusters.size(); ++i) {
    const auto detector = detectors_.find(config_.settings.clusters[i].name);
    if (detector == detectors_.end()) continue;
    const auto events = detector->second->tick(now);
    if (events.empty()) continue;
    log_outliers(i, events);
    update(i);
  }
  if (detectors_.empty()) return;
  tick_timer_.expires_after(kTick);
  tick_timer_.async_wait([this](const auto& cancelled) {
    if (!cancelled) tick();
  });
}

bool ProxyControl::drain_endpoint(const std::string& cluster, const EndpointId& id, bool drain) {
  for (size_t i = 0; i < config_.settings.clusters.size(); ++i) {
    if (config_.settings.clusters[i].name != cluster) continue;
    if (!proxy_->snapshot().clusters.at(cluster).endpoints->find(id)) return false;
    if (drain) {
      drained_.emplace(cluster, id);
    } else {
      drained_.erase({cluster, id});
    }
    update(i);
    return true;
  }
  return false;
}

const BackendHealth* ProxyControl::health_of(size_t cluster, const EndpointId& id) const {
  return checks_.find(target_of(cluster, id), id.address);
}

const OutlierDetector* ProxyControl::detector_of(const std::string& cluster) const {
  const auto found = detectors_.find(cluster);
  return found == detectors_.end() ? nullptr : found->second.get();
}

}  // namespace sluice::control
