// The numbers of a node at one moment, as values: collected by the control thread in a few milliseconds,
// written out as text by another one.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "control/log_settings.h"
#include "control/metrics/histogram.h"
#include "control/report.h"
#include "lb/drop_reason.h"
#include "lb/pool_health.h"

namespace sluice {

/// What the control thread needs for a table, in seconds.
using TableTimes = Histogram<8>;
inline constexpr std::array<double, 8> kTableTimeBounds{0.001, 0.005, 0.02, 0.1, 0.5, 1, 5, 20};

/// The labels of what is configured, as text; the same for all snapshots until the services change.
struct ServiceLabels {
  std::vector<std::string> vips;
  std::vector<std::string> vip_infos;
  std::vector<std::string> pools;
  std::vector<std::string> backends;
  std::vector<std::string> backend_infos;
};

struct VipNumbers {
  uint64_t packets = 0;
  uint64_t bytes = 0;
};

struct PoolNumbers {
  PoolMode mode = PoolMode::kNormal;
  uint32_t wanted = 0;
  uint32_t healthy = 0;
  uint32_t min_healthy = 0;
};

struct BackendNumbers {
  uint64_t packets = 0;
  uint64_t bytes = 0;
  uint64_t syns = 0;
  uint64_t syns_again = 0;
  uint64_t unreachable_errors = 0;
  double slots_ratio = 0;
  uint32_t weight = 0;
  bool active = false;
  bool resolved = false;
  bool checked = false;  ///< without it the rest means nothing
  bool healthy = false;
  double health_changed = 0;  ///< seconds since 1970
  double check_latency = 0;   ///< seconds
  uint64_t checks = 0;
  uint64_t check_failures = 0;
};

struct AnnouncementNumbers {
  std::string address;
  bool announced = false;
};

struct NodeSnapshot {
  std::string node;
  std::string version;
  std::string isa;
  bool draining = false;
  bool last_reload_successful = true;
  uint64_t generation = 0;
  TableTimes table_build{kTableTimeBounds};
  TableTimes table_publish{kTableTimeBounds};
  uint64_t table_failures = 0;
  double taken_seconds = 0;  ///< what collecting all this took
  std::vector<PortReport> ports;
  std::vector<WorkerReport> workers;
  std::vector<std::array<uint64_t, kDropReasons>> drops;  ///< by worker
  std::shared_ptr<const ServiceLabels> labels = std::make_shared<const ServiceLabels>();
  std::vector<VipNumbers> vips;          ///< in the order of labels
  std::vector<PoolNumbers> pools;        ///< in the order of labels
  std::vector<BackendNumbers> backends;  ///< in the order of labels
  std::vector<AnnouncementNumbers> announcements;
};

/// What the kernel knows of this process.
struct ProcessNumbers {
  double cpu_seconds = 0;
  double start_time = 0;  ///< seconds since 1970
  uint64_t resident_bytes = 0;
  uint64_t open_files = 0;
  uint64_t max_files = 0;
};

/// Asks the kernel. What it does not tell stays 0.
ProcessNumbers process_numbers();

/// All metrics of node_metric_list.h.
std::string render_metrics(const NodeSnapshot& snapshot, const LogNumbers& log,
                           const ProcessNumbers& process);

}  // namespace sluice
