#include "control/proxy/named_files.h"

#include <fmt/format.h>

#include <set>
#include <sstream>

#include "control/config_text.h"
#include "control/proxy/access_log_target.h"
#include "control/proxy/endpoint_file.h"
#include "control/proxy/event_file.h"

namespace sluice::control {
namespace {

void look_at_endpoints(const std::string& cluster, const std::string& path, const ClusterCare& care,
                       NamedFiles& found) {
  const auto text = read_config_file(path);
  const auto parsed =
      text ? parse_endpoint_file(*text, path, care.health.port) : tl::unexpected(text.error());
  if (parsed) {
    found.endpoints += parsed->endpoints.size();
    return;
  }
  std::istringstream lines(parsed.error().message);
  for (std::string line; std::getline(lines, line);) found.warnings.push_back(line);
  found.warnings.push_back(
      fmt::format("cluster {}: a start has no endpoints for it until {} is good", cluster, path));
}

}  // namespace

NamedFiles look_at_named_files(const ProxyConfig& config) {
  NamedFiles found;
  std::set<std::string> seen;
  const auto look = [&](const std::string& path, const std::string& whose, const auto& check) {
    if (path.empty() || !seen.insert(path).second) return;
    if (const Result<void> good = check(path); !good) found.errors.push_back(whose + good.error().message);
  };
  for (const l7::ListenerSettings& listener : config.settings.listeners) {
    if (listener.access_log) look(listener.access_log->to, "", AccessLogTarget::check);
  }
  for (size_t i = 0; i < config.care.size(); ++i) {
    const ClusterCare& care = config.care[i];
    const std::string& cluster = config.settings.clusters[i].name;
    const std::string whose = fmt::format("cluster {}: ", cluster);
    look(care.event_log, whose, EventFile::check);
    look(care.outlier_event_log, whose, EventFile::check);
    if (!care.discovery) continue;
    if (const auto* file = std::get_if<FileDiscovery>(&*care.discovery))
      look_at_endpoints(cluster, file->path, care, found);
  }
  return found;
}

}  // namespace sluice::control
