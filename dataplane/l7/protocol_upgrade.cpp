#include "dataplane/l7/protocol_upgrade.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cstring>
#include <random>

namespace sluice::l7 {
namespace {

// EVP_EncodeBlock() writes a NUL behind the text.
template <size_t Size>
std::array<char, Size> to_base64(std::span<const uint8_t> bytes) {
  std::array<uint8_t, Size + 1> text{};
  EVP_EncodeBlock(text.data(), bytes.data(), static_cast<int>(bytes.size()));
  std::array<char, Size> result;
  std::memcpy(result.data(), text.data(), Size);
  return result;
}

// Standard alphabet for a character of base64url; 0 for all others.
char standard_base64(char c) {
  if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) return c;
  if (c == '-') return '+';
  return c == '_' ? '/' : '\0';
}

}  // namespace

WebSocketKey make_websocket_key() {
  std::array<uint8_t, 16> bytes;
  // The key keeps caches from answering; no secret hangs on it (RFC 6455 section 10.3).
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) {
    std::random_device random;
    std::generate(bytes.begin(), bytes.end(), [&random] { return static_cast<uint8_t>(random()); });
  }
  return to_base64<24>(bytes);
}

WebSocketAccept websocket_accept(std::string_view key) {
  static constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<uint8_t, 64 + kGuid.size()> text{};
  const size_t size = std::min<size_t>(key.size(), 64);
  std::copy_n(key.begin(), size, text.begin());
  std::copy(kGuid.begin(), kGuid.end(), text.begin() + static_cast<ptrdiff_t>(size));
  std::array<uint8_t, SHA_DIGEST_LENGTH> digest;
  SHA1(text.data(), size + kGuid.size(), digest.data());
  return to_base64<28>(digest);
}

std::optional<H2cSettings> H2cSettings::decode(std::string_view text) {
  H2cSettings result;
  // Four characters stand for three bytes; a single one left over for nothing.
  if (text.size() % 4 == 1 || text.size() * 3 / 4 > kMaxBytes) return std::nullopt;
  std::array<uint8_t, (kMaxBytes + 2) / 3 * 4> padded;
  padded.fill('=');
  for (size_t at = 0; at < text.size(); ++at) {
    padded[at] = static_cast<uint8_t>(standard_base64(text[at]));
    if (padded[at] == 0) return std::nullopt;
  }
  const int groups = static_cast<int>((text.size() + 3) / 4);
  if (EVP_DecodeBlock(result.bytes_.data(), padded.data(), groups * 4) < 0) return std::nullopt;
  result.size_ = text.size() * 3 / 4;
  return result;
}

}  // namespace sluice::l7
