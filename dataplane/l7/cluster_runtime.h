// A cluster on one worker: which endpoint is next, and the connections to each.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "dataplane/l7/settings.h"
#include "dataplane/l7/upstream_pool.h"
#include "lb/l7/picker.h"

namespace sluice::l7 {

class ClusterRuntime {
 public:
  ClusterRuntime(WorkerContext& worker, std::shared_ptr<const ClusterSettings> settings,
                 EndpointSet::Pointer endpoints);

  /// The endpoint for a request, or nothing.
  std::optional<uint32_t> pick(WorkerContext& worker);
  /// The connections to an endpoint that pick() named.
  UpstreamPool& pool(uint32_t endpoint);
  /// Picks among `endpoints` from now on; requests under way stay where they are.
  void use(EndpointSet::Pointer endpoints);

  const ClusterSettings& settings() const { return *settings_; }

 private:
  WorkerContext& worker_;
  std::shared_ptr<const ClusterSettings> settings_;
  Picker picker_;
  std::vector<std::unique_ptr<UpstreamPool>> pools_;  // by slot of the endpoint's state
};

}  // namespace sluice::l7
