// The files that clusters write what happens to their endpoints' health to.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "control/health/health_checks.h"
#include "control/proxy/event_file.h"
#include "control/proxy/proxy_config.h"
#include "lb/l7/outlier_detector.h"

namespace sluice::control {

class HealthEventLog {
 public:
  HealthEventLog() = default;

  /// Opens the files that `config` names, each once however many clusters name it. The error names cluster,
  /// file and reason. A new one for each configuration: that is also how a file that was moved away begins
  /// anew.
  static Result<HealthEventLog> open(const ProxyConfig& config);

  /// Writes what is to be said, if that cluster has a file.
  void checked(std::string_view cluster, const CheckedEvent& event);
  void outlier(std::string_view cluster, const OutlierEvent& event);

 private:
  struct OfCluster {
    std::shared_ptr<EventFile> checks;    ///< or nullptr
    std::shared_ptr<EventFile> outliers;  ///< likewise
    bool every_failure = false;
  };
  std::unordered_map<std::string, OfCluster> clusters_;  ///< those with a file
};

}  // namespace sluice::control
