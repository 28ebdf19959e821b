#include "control/proxy/health_event_log.h"

#include <fmt/format.h>

#include "control/proxy/health_event.h"

namespace sluice::control {
namespace {

using Files = std::unordered_map<std::string, std::shared_ptr<EventFile>>;

/// nullptr for no path.
Result<std::shared_ptr<EventFile>> open_once(const std::string& path, std::string_view cluster,
                                             Files& files) {
  if (path.empty()) return nullptr;
  auto& file = files[path];
  if (!file) {
    auto opened = EventFile::open(path);
    if (!opened) return fail(fmt::format("cluster {}: {}", cluster, opened.error().message));
    file = *std::move(opened);
  }
  return file;
}

}  // namespace

Result<HealthEventLog> HealthEventLog::open(const ProxyConfig& config) {
  HealthEventLog log;
  Files files;
  for (size_t i = 0; i < config.care.size(); ++i) {
    const ClusterCare& care = config.care[i];
    const std::string& cluster = config.settings.clusters[i].name;
    const auto checks = open_once(care.event_log, cluster, files);
    if (!checks) return tl::unexpected(checks.error());
    const auto outliers = open_once(care.outlier_event_log, cluster, files);
    if (!outliers) return tl::unexpected(outliers.error());
    if (*checks || *outliers) log.clusters_[cluster] = {*checks, *outliers, care.log_every_failure};
  }
  return log;
}

void HealthEventLog::checked(std::string_view cluster, const CheckedEvent& event) {
  const auto found = clusters_.find(std::string(cluster));
  if (found == clusters_.end() || !found->second.checks) return;
  const std::string line =
      health_event_line(event, cluster, found->second.every_failure, std::chrono::system_clock::now());
  if (!line.empty()) found->second.checks->write(line);
}

void HealthEventLog::outlier(std::string_view cluster, const OutlierEvent& event) {
  const auto found = clusters_.find(std::string(cluster));
  if (found == clusters_.end() || !found->second.outliers) return;
  found->second.outliers->write(outlier_event_line(event, cluster, std::chrono::system_clock::now()));
}

}  // namespace sluice::control
