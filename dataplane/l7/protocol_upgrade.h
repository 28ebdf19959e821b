// The two upgrades from HTTP/1.1 that the proxy knows: WebSocket (RFC 6455 section 4) and HTTP/2 (RFC 7540
// section 3.2).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace sluice::l7 {

/// Sec-WebSocket-Key: sixteen bytes in base64.
using WebSocketKey = std::array<char, 24>;
/// Sec-WebSocket-Accept: a SHA-1 digest in base64.
using WebSocketAccept = std::array<char, 28>;

/// A random key for a handshake that the proxy begins.
WebSocketKey make_websocket_key();

/// What the server answers to `key` (RFC 6455 section 4.2.2, point 5.4).
WebSocketAccept websocket_accept(std::string_view key);

/// The decoded HTTP2-Settings field of an upgrade: payload of a SETTINGS frame.
class H2cSettings {
 public:
  /// Decodes base64url without padding. Nothing: it is none, or longer than any settings are.
  static std::optional<H2cSettings> decode(std::string_view text);

  std::span<const uint8_t> payload() const { return {bytes_.data(), size_}; }

 private:
  static constexpr size_t kMaxBytes = 32 * 6;  // settings of six bytes each
  std::array<uint8_t, kMaxBytes + 3> bytes_{};
  size_t size_ = 0;
};

}  // namespace sluice::l7
