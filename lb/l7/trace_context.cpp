#include "lb/l7/trace_context.h"

#include <algorithm>

namespace sluice {
namespace {

// 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
constexpr size_t kTraceAt = 3;
constexpr size_t kSpanAt = 36;
constexpr size_t kFlagsAt = 53;
constexpr uint64_t kSampledFlag = 1;
constexpr uint64_t kForbiddenVersion = 0xff;

/// Up to 16 digits; nothing if one is no digit, or a capital letter.
std::optional<uint64_t> parse_hex(std::string_view digits) {
  uint64_t number = 0;
  for (const char c : digits) {
    uint64_t digit;
    if ('0' <= c && c <= '9') {
      digit = static_cast<uint64_t>(c - '0');
    } else if ('a' <= c && c <= 'f') {
      digit = static_cast<uint64_t>(c - 'a') + 10;
    } else {
      return std::nullopt;
    }
    number = number << 4 | digit;
  }
  return number;
}

void write_digits(uint64_t number, size_t digits, char* into) {
  constexpr char kDigits[] = "0123456789abcdef";
  for (size_t i = digits; i-- > 0; number >>= 4) into[i] = kDigits[number & 0xf];
}

uint64_t draw_nonzero(Random& random) {
  const uint64_t number = random();
  return number == 0 ? 1 : number;
}

}  // namespace

std::optional<TraceContext> parse_traceparent(std::string_view value) {
  constexpr size_t kSize = TraceparentText::kSize;
  if (value.size() < kSize) return std::nullopt;
  if (value[kTraceAt - 1] != '-' || value[kSpanAt - 1] != '-' || value[kFlagsAt - 1] != '-')
    return std::nullopt;
  const auto version = parse_hex(value.substr(0, 2));
  const auto high = parse_hex(value.substr(kTraceAt, 16));
  const auto low = parse_hex(value.substr(kTraceAt + 16, 16));
  const auto span = parse_hex(value.substr(kSpanAt, 16));
  const auto flags = parse_hex(value.substr(kFlagsAt, 2));
  if (!version || !high || !low || !span || !flags) return std::nullopt;
  if (*version == kForbiddenVersion) return std::nullopt;
  if (value.size() > kSize && (*version == 0 || value[kSize] != '-')) return std::nullopt;
  const TraceContext context{
      {*high, *low}, *span, (*flags & kSampledFlag) != 0, *version == 0 && *flags <= kSampledFlag};
  if (!context.trace.valid() || context.span == 0) return std::nullopt;
  return context;
}

TraceparentText format_traceparent(TraceId trace, SpanId span, bool sampled) {
  TraceparentText result;
  char* text = result.text_.data();
  write_digits(0, 2, text);
  text[kTraceAt - 1] = text[kSpanAt - 1] = text[kFlagsAt - 1] = '-';
  write_hex(trace.high, text + kTraceAt);
  write_hex(trace.low, text + kTraceAt + 16);
  write_hex(span, text + kSpanAt);
  write_digits(sampled ? kSampledFlag : 0, 2, text + kFlagsAt);
  return result;
}

void write_hex(uint64_t number, char* into) {
  write_digits(number, 16, into);
}

TraceId draw_trace_id(Random& random) {
  const uint64_t high = random();
  return {high, draw_nonzero(random)};
}

SpanId draw_span_id(Random& random) {
  return draw_nonzero(random);
}

SampleRatio SampleRatio::of_percent(double percent) {
  SampleRatio ratio;
  ratio.threshold_ =
      static_cast<uint64_t>(std::clamp(percent, 0.0, 100.0) / 100.0 * static_cast<double>(kAll));
  return ratio;
}

}  // namespace sluice
