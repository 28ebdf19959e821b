// The access log as workers see it: what of a listener's requests is written and how, and the rings by which
// lines go to the thread that writes them (control/proxy/access_log_writer.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/l7/access_format.h"
#include "dataplane/l7/byte_ring.h"
#include "dataplane/l7/ring_bell.h"
#include "lb/counter.h"
#include "lb/l7/random.h"

namespace sluice::l7 {

/// Which requests are written.
struct AccessLogFilter {
  static constexpr uint32_t kAll = 1'000'000;
  uint32_t sample_per_million = kAll;
  bool always_failed = true;  ///< RequestRecord::failed()
  std::optional<std::chrono::milliseconds> always_slower_than;

  bool takes(const RequestRecord& record, Random& random) const {
    if (sample_per_million >= kAll) return true;
    if (always_failed && record.failed()) return true;
    if (always_slower_than && record.whole > *always_slower_than) return true;
    return sample_per_million != 0 && random.below(kAll) < sample_per_million;
  }
};

/// The log of one or several listeners; immutable, shared by all workers.
struct AccessLog {
  std::string to;  ///< the path of a file, "stdout" or "stderr"
  AccessFormat format;
  AccessLogFilter filter;
};

/// What goes through a ring: the target (a uint32_t as it lies in memory), and the line with its end.
inline constexpr size_t kAccessLineHead = sizeof(uint32_t);

/// One ring per worker, and the numbers of the thread at their other end.
struct AccessLogRings {
  // At 100 000 lines of 300 bytes a second this is 35 ms; the writer comes by every 10 ms.
  static constexpr size_t kRingBytes = 1 << 20;

  explicit AccessLogRings(uint32_t workers) {
    for (uint32_t i = 0; i < workers; ++i) of_workers.push_back(std::make_unique<ByteRing>(kRingBytes));
  }
  /// Lines that found no room.
  uint64_t dropped() const {
    uint64_t sum = 0;
    for (const auto& ring : of_workers) sum += ring->dropped();
    return sum;
  }

  RingBell bell;
  std::vector<std::unique_ptr<ByteRing>> of_workers;
  Counter written;    ///< lines, by the writer
  Counter unwritten;  ///< lines that the system did not take
};

}  // namespace sluice::l7
