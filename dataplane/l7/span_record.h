// A span as a worker writes it and the exporter reads it: numbers in a fixed layout, and texts behind them.
// One message of a ByteRing:
//
//   | SpanRecord | which | size | bytes ... | which | size | bytes ... |
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "dataplane/l7/byte_ring.h"
#include "dataplane/l7/outcome.h"
#include "lb/l7/endpoint.h"
#include "lb/l7/trace_context.h"

namespace sluice::l7 {

/// As OTLP numbers them (opentelemetry-proto, trace.proto, Span.SpanKind).
enum class SpanKind : uint8_t {
  kServer = 2,  ///< what the client asked of the proxy
  kClient = 3,  ///< one try at an endpoint
};

/// What ended a try without a whole answer.
enum class SpanError : uint8_t {
  kNone,
  kRefused,    ///< the endpoint had not looked at it
  kReset,      ///< the stream or the connection broke
  kTimeout,    ///< of the try, the request, or for want of any byte
  kCancelled,  ///< nobody waited for the answer any more
};

struct SpanRecord {
  static constexpr uint8_t kNoGrpcStatus = 0xff;

  TraceId trace;
  SpanId span = 0;
  SpanId parent = 0;      ///< 0: none
  uint64_t start_ns = 0;  ///< since 1970
  uint64_t end_ns = 0;
  EndpointId peer;  ///< kServer: the client, port 0; kClient: the endpoint
  SpanKind kind = SpanKind::kServer;
  Outcome outcome = Outcome::kAnswered;  ///< of kServer
  SpanError error = SpanError::kNone;    ///< of kClient
  uint8_t http_version = 2;              ///< 1: HTTP/1.1
  uint8_t grpc_status = kNoGrpcStatus;
  bool grpc = false;
  bool mirror = false;  ///< of kClient: nobody waits for the answer, as it is that of a mirror
  bool secure = false;  ///< of kClient: over TLS
  uint16_t status = 0;  ///< 0: no answer
  uint32_t tries = 0;   ///< of kServer: all; of kClient: those before this one
};
static_assert(std::is_trivially_copyable_v<SpanRecord>, "it is copied through the ring");

enum class SpanText : uint8_t {
  kMethod,
  kPath,  ///< without its query; of kClient as the endpoint sees it
  kScheme,
  kAuthority,
  kUserAgent,
  kTracestate,
  kListener,
  kVirtualHost,
  kRoute,
  kCluster,
};
inline constexpr size_t kSpanTexts = static_cast<size_t>(SpanText::kCluster) + 1;

/// Longer texts are cut: what clients send must not fill the ring. In the order of the enum.
inline constexpr std::array<uint16_t, kSpanTexts> kSpanTextBytes = {32,  1024, 8,  256, 256,
                                                                    512, 64,   64, 64,  64};

/// Texts while they are collected, in memory that is used again.
class SpanTexts {
 public:
  void clear() { bytes_.clear(); }
  /// Adds a text, cut at what kSpanTextBytes allows; not an empty one.
  void add(SpanText which, std::string_view text) {
    if (text.empty()) return;
    const auto size =
        static_cast<uint16_t>(std::min<size_t>(text.size(), kSpanTextBytes[static_cast<size_t>(which)]));
    bytes_.push_back(static_cast<uint8_t>(which));
    bytes_.push_back(static_cast<uint8_t>(size & 0xff));
    bytes_.push_back(static_cast<uint8_t>(size >> 8));
    bytes_.insert(bytes_.end(), text.data(), text.data() + size);
  }
  std::span<const uint8_t> bytes() const { return bytes_; }
  /// Memory held beside the object itself, in bytes.
  size_t capacity() const { return bytes_.capacity(); }

 private:
  std::vector<uint8_t> bytes_;
};

/// Writes a span to a ring; one that finds no room is counted there.
inline void push_span(ByteRing& ring, const SpanRecord& record, const SpanTexts& texts) {
  const auto bytes = texts.bytes();
  const auto room = ring.reserve(sizeof(record) + bytes.size());
  if (room.empty()) return;
  std::memcpy(room.data(), &record, sizeof(record));
  if (!bytes.empty()) std::memcpy(room.data() + sizeof(record), bytes.data(), bytes.size());
  ring.commit(room.size());
}

/// A span as it is read: views into the message.
struct SpanView {
  SpanRecord record;
  std::array<std::string_view, kSpanTexts> texts;  ///< empty: not there
  std::string_view text(SpanText which) const { return texts[static_cast<size_t>(which)]; }
};

inline SpanView read_span(std::span<const uint8_t> message) {
  constexpr size_t kHead = 3;
  SpanView view;
  std::memcpy(&view.record, message.data(), sizeof(view.record));
  message = message.subspan(sizeof(view.record));
  while (message.size() >= kHead) {
    const size_t size = message[1] | static_cast<size_t>(message[2]) << 8;
    view.texts[message[0]] = {reinterpret_cast<const char*>(message.data()) + kHead, size};
    message = message.subspan(kHead + size);
  }
  return view;
}

}  // namespace sluice::l7
