// The frames of HTTP/2 (RFC 9113 sections 4, 6 and 7) as numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice::l7 {

enum class FrameType : uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kRstStream = 3,
  kSettings = 4,
  kPushPromise = 5,
  kPing = 6,
  kGoAway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
};

namespace frame_flag {
inline constexpr uint8_t kAck = 0x1;
inline constexpr uint8_t kEndStream = 0x1;
inline constexpr uint8_t kEndHeaders = 0x4;
inline constexpr uint8_t kPadded = 0x8;
inline constexpr uint8_t kPriority = 0x20;
}  // namespace frame_flag

namespace setting {
inline constexpr uint16_t kHeaderTableSize = 1;
inline constexpr uint16_t kEnablePush = 2;
inline constexpr uint16_t kMaxConcurrentStreams = 3;
inline constexpr uint16_t kInitialWindowSize = 4;
inline constexpr uint16_t kMaxFrameSize = 5;
inline constexpr uint16_t kMaxHeaderListSize = 6;
inline constexpr uint16_t kEnableConnectProtocol = 8;  // RFC 8441
}  // namespace setting

/// RFC 9113 section 7.
enum class Http2Error : uint32_t {
  kNoError = 0,
  kProtocolError = 1,
  kInternalError = 2,
  kFlowControlError = 3,
  kSettingsTimeout = 4,
  kStreamClosed = 5,
  kFrameSizeError = 6,
  kRefusedStream = 7,
  kCancel = 8,
  kCompressionError = 9,
  kConnectError = 10,
  kEnhanceYourCalm = 11,
  kInadequateSecurity = 12,
  kHttp11Required = 13,
};

/// The name as in RFC 9113, "PROTOCOL_ERROR"; "UNKNOWN" for others.
std::string_view name_of(Http2Error error);

inline constexpr size_t kFrameHeaderBytes = 9;
inline constexpr uint32_t kMinMaxFrameSize = 16 * 1024;
inline constexpr uint32_t kMaxMaxFrameSize = (1u << 24) - 1;
inline constexpr uint32_t kMaxWindow = 0x7fffffff;
inline constexpr uint32_t kDefaultWindow = 65535;
inline constexpr uint32_t kMaxStreamId = 0x7fffffff;
inline constexpr std::string_view kClientPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

struct FrameHeader {
  uint32_t length = 0;
  FrameType type = FrameType::kData;
  uint8_t flags = 0;
  uint32_t stream = 0;
};

constexpr uint16_t read16(const uint8_t* at) {
  return static_cast<uint16_t>(at[0] << 8 | at[1]);
}
constexpr uint32_t read32(const uint8_t* at) {
  return static_cast<uint32_t>(at[0]) << 24 | static_cast<uint32_t>(at[1]) << 16 |
         static_cast<uint32_t>(at[2]) << 8 | at[3];
}
constexpr uint8_t* write16(uint16_t value, uint8_t* at) {
  at[0] = static_cast<uint8_t>(value >> 8);
  at[1] = static_cast<uint8_t>(value);
  return at + 2;
}
constexpr uint8_t* write32(uint32_t value, uint8_t* at) {
  at[0] = static_cast<uint8_t>(value >> 24);
  at[1] = static_cast<uint8_t>(value >> 16);
  at[2] = static_cast<uint8_t>(value >> 8);
  at[3] = static_cast<uint8_t>(value);
  return at + 4;
}

/// Reads kFrameHeaderBytes; the reserved bit is ignored (RFC 9113 section 4.1).
constexpr FrameHeader read_frame_header(const uint8_t* at) {
  return {static_cast<uint32_t>(at[0]) << 16 | static_cast<uint32_t>(at[1]) << 8 | at[2],
          static_cast<FrameType>(at[3]), at[4], read32(at + 5) & kMaxStreamId};
}

/// Writes kFrameHeaderBytes; returns their end.
constexpr uint8_t* write_frame_header(const FrameHeader& header, uint8_t* at) {
  at[0] = static_cast<uint8_t>(header.length >> 16);
  at[1] = static_cast<uint8_t>(header.length >> 8);
  at[2] = static_cast<uint8_t>(header.length);
  at[3] = static_cast<uint8_t>(header.type);
  at[4] = header.flags;
  return write32(header.stream, at + 5);
}

}  // namespace sluice::l7
