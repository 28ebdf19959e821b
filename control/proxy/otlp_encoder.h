// Spans as OTLP's JSON (opentelemetry-proto, "JSON Protobuf Encoding": ids in hexadecimal, 64-bit numbers as
// text, enums as numbers), with attributes by OpenTelemetry's semantic conventions. Pure.
//
//   std::string json = otlp_head(resource);
//   append_otlp_span(json, message);             // more of them with "," between
//   json += kOtlpTail;
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace sluice {

/// Who has made the spans.
struct OtlpResource {
  std::string service_name;
  std::string instance;  ///< the proxy's name
  std::string version;   ///< of the program
};

/// What stands before the first span of an ExportTraceServiceRequest, and behind the last.
std::string otlp_head(const OtlpResource& resource);
inline constexpr std::string_view kOtlpTail = "]}]}]}";

/// Appends one span; `message` is what push_span() of dataplane/l7/span_record.h has written. What a client
/// sent that is no UTF-8 has U+FFFD in its place.
void append_otlp_span(std::string& json, std::span<const uint8_t> message);

}  // namespace sluice
