// Where the workers put their spans and the exporter takes them from: a ring for each worker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/l7/byte_ring.h"

namespace sluice::l7 {

class SpanRings {
 public:
  using Pointer = std::shared_ptr<SpanRings>;
  // Some 5000 spans: what a worker makes of a fast machine's requests in the 50 ms between two looks.
  static constexpr size_t kBytesOfWorker = 2u << 20;

  explicit SpanRings(uint32_t workers) {
    for (uint32_t i = 0; i < workers; ++i) rings_.push_back(std::make_unique<ByteRing>(kBytesOfWorker));
  }
  ByteRing& of(uint32_t worker) { return *rings_[worker]; }
  /// Spans that found no room, of all workers. From any thread.
  uint64_t dropped() const {
    uint64_t sum = 0;
    for (const auto& ring : rings_) sum += ring->dropped();
    return sum;
  }
  /// Calls `visit(ByteRing&)` for each. The exporter's.
  template <typename Visit>
  void for_each(Visit visit) {
    for (const auto& ring : rings_) visit(*ring);
  }

 private:
  std::vector<std::unique_ptr<ByteRing>> rings_;
};

}  // namespace sluice::l7
