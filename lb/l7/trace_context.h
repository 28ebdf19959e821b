// The traceparent header field: which trace a request is part of, and who has sent it (W3C Trace Context
// level 1, Recommendation of 23 November 2021, section 3.2).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "lb/l7/random.h"

namespace sluice {

struct TraceId {
  uint64_t high = 0;
  uint64_t low = 0;
  bool valid() const { return (high | low) != 0; }
  friend bool operator==(const TraceId&, const TraceId&) = default;
};
/// 0 is none.
using SpanId = uint64_t;

struct TraceContext {
  TraceId trace;
  SpanId span = 0;  ///< of the sender; the specification's parent-id
  bool sampled = false;
  /// The field was of our own version and said nothing else: it may be passed on as it is.
  bool plain = true;
};

/// Nothing if the field is invalid, and a trace is then begun anew (section 3.2.2): wrong length, capital
/// letters, version ff, an id of zeros only. Of versions above 00 the part that 00 has is read, whatever
/// comes behind it after a hyphen.
std::optional<TraceContext> parse_traceparent(std::string_view value);

/// The text of a field of version 00.
class TraceparentText {
 public:
  static constexpr size_t kSize = 55;
  std::string_view view() const { return {text_.data(), text_.size()}; }

 private:
  friend TraceparentText format_traceparent(TraceId trace, SpanId span, bool sampled);
  std::array<char, kSize> text_{};
};
TraceparentText format_traceparent(TraceId trace, SpanId span, bool sampled);

/// Writes 16 digits in lower case.
void write_hex(uint64_t number, char* into);

/// Never invalid. Random enough for the specification's section 3.2.2.3: all 16 bytes are drawn.
TraceId draw_trace_id(Random& random);
SpanId draw_span_id(Random& random);

/// Which share of the traces that begin here is sampled. All who have the same share choose the same traces,
/// as the last bytes of the trace's id decide.
class SampleRatio {
 public:
  SampleRatio() = default;
  /// `percent`: 0 to 100; what is outside counts as the nearest of the two.
  static SampleRatio of_percent(double percent);
  bool takes(TraceId trace) const { return trace.low >> kUnusedBits < threshold_; }
  friend bool operator==(const SampleRatio&, const SampleRatio&) = default;

 private:
  // The bits that W3C Trace Context level 2 promises to be random.
  static constexpr uint32_t kUnusedBits = 8;
  static constexpr uint64_t kAll = uint64_t{1} << (64 - kUnusedBits);
  uint64_t threshold_ = kAll;
};

/// Whether a request's spans are recorded: as its sender has decided, if it has, otherwise by the ratio.
inline bool decide_sampling(const std::optional<TraceContext>& sender, TraceId trace, SampleRatio ratio) {
  return sender ? sender->sampled : ratio.takes(trace);
}

}  // namespace sluice
