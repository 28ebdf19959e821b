// The thread that takes spans from the workers and brings them to the collector. Whatever the collector does,
// workers and the control thread never wait for it: what finds no room is dropped and counted.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>

#include "control/proxy/otlp_batches.h"
#include "control/proxy/otlp_sender.h"
#include "control/proxy/otlp_settings.h"
#include "dataplane/l7/span_rings.h"
#include "lb/counter.h"

namespace sluice::control {

/// Spans that nobody has got, by why.
enum class SpanLoss : uint8_t {
  kRingFull,   ///< the exporter's thread was too late
  kQueueFull,  ///< too many waited for the collector
  kRefused,    ///< the collector did not want them
  kGivenUp,    ///< they waited for too long, or the proxy ended first
};
inline constexpr size_t kSpanLosses = static_cast<size_t>(SpanLoss::kGivenUp) + 1;
/// "ring_full", ...
std::string_view span_loss_name(SpanLoss loss);

/// To be read from any thread.
struct TraceExportCounts {
  uint64_t exported = 0;
  std::array<uint64_t, kSpanLosses> dropped{};
  std::array<uint64_t, kOtlpFailures> failures{};  ///< requests to the collector
};

class OtlpExporter {
 public:
  /// Starts the thread. `instance` and `version` are of the resource.
  static std::unique_ptr<OtlpExporter> start(OtlpSettings settings, std::string instance, std::string version,
                                             l7::SpanRings::Pointer rings);
  /// As finish(0).
  ~OtlpExporter();
  OtlpExporter(const OtlpExporter&) = delete;
  OtlpExporter& operator=(const OtlpExporter&) = delete;

  /// Goes on with other settings; what waits is sent by them. From any thread.
  void use(OtlpSettings settings);
  /// Sends what there is, for no longer than `most`, and ends the thread. The workers must have ended.
  void finish(std::chrono::milliseconds most);
  TraceExportCounts counts() const;

 private:
  class Loop;
  OtlpExporter() = default;
  std::shared_ptr<boost::asio::io_context> io_;
  std::unique_ptr<Loop> loop_;
  std::thread thread_;
};

}  // namespace sluice::control
