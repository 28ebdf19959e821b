// Spans on their way to the collector: gathered to bodies of a good size, and bodies that wait, no more of
// them than a bound. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <span>
#include <string>

#include "control/proxy/otlp_encoder.h"

namespace sluice {

class OtlpBatches {
 public:
  using Time = std::chrono::steady_clock::time_point;

  struct Limits {
    uint32_t spans = 2048;  ///< of a body
    size_t body_bytes = 1u << 20;
    std::chrono::milliseconds age{1000};  ///< how long a span waits for others
    size_t waiting_bytes = 32u << 20;     ///< of all bodies
    friend bool operator==(const Limits&, const Limits&) = default;
  };
  struct Batch {
    std::string body;  ///< an ExportTraceServiceRequest
    uint32_t spans = 0;
    Time begun{};
    uint32_t failures = 0;  ///< so often it was sent in vain
  };

  OtlpBatches(const OtlpResource& resource, Limits limits) : head_(otlp_head(resource)), limits_(limits) {}
  OtlpBatches(const OtlpResource& resource) : OtlpBatches(resource, Limits()) {}

  /// Of bodies that are begun from now on.
  void use(const OtlpResource& resource) { head_ = otlp_head(resource); }

  /// Takes a span, as push_span() has written it; false: too much waits already, and it is lost.
  bool add(std::span<const uint8_t> message, Time now) {
    if (open_.spans == 0) {
      if (bytes_ >= limits_.waiting_bytes) return false;
      open_.body = head_;
      open_.begun = now;
    } else {
      open_.body += ',';
    }
    append_otlp_span(open_.body, message);
    ++open_.spans;
    if (open_.spans >= limits_.spans || open_.body.size() >= limits_.body_bytes) close();
    return true;
  }
  /// Lets go of what is being gathered if its time has come.
  void close_if_due(Time now) {
    if (open_.spans != 0 && now - open_.begun >= limits_.age) close();
  }
  /// Lets go of what is being gathered.
  void close() {
    if (open_.spans == 0) return;
    open_.body += kOtlpTail;
    bytes_ += open_.body.size();
    waiting_.push_back(std::move(open_));
    open_ = {};
  }

  /// The bodies, the oldest first; their addresses stay until they are taken away.
  bool empty() const { return waiting_.empty(); }
  Batch& front() { return waiting_.front(); }
  void pop() {
    bytes_ -= waiting_.front().body.size();
    waiting_.pop_front();
  }
  /// Spans that wait, those that are being gathered too.
  uint64_t spans() const {
    uint64_t sum = open_.spans;
    for (const Batch& batch : waiting_) sum += batch.spans;
    return sum;
  }

 private:
  std::string head_;
  Limits limits_;
  Batch open_;
  std::deque<Batch> waiting_;
  size_t bytes_ = 0;  // of waiting_
};

}  // namespace sluice
