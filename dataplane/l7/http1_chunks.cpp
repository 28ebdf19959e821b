#include "dataplane/l7/http1_chunks.h"

#include <algorithm>
#include <charconv>

namespace sluice::l7 {
namespace {

// More than any body has, and the sum of a few of them still fits.
constexpr uint8_t kMaxDigits = 15;
// Extensions have no use that anybody knows; without a bound they cost more than the data they come with.
constexpr uint16_t kMaxExtensionBytes = 4096;

constexpr int hex_value(uint8_t c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

constexpr bool is_blank(uint8_t c) {
  return c == ' ' || c == '\t';
}

}  // namespace

Http1ChunkReader::Piece Http1ChunkReader::next(std::span<const uint8_t>& input) {
  while (!input.empty()) {
    if (state_ == State::kData) {
      const auto data = input.first(static_cast<size_t>(std::min<uint64_t>(input.size(), left_)));
      input = input.subspan(data.size());
      left_ -= data.size();
      if (left_ == 0) state_ = State::kDataReturn;
      return {.data = data};
    }
    const bool ends_size_line = state_ == State::kSizeLineFeed;
    if (const char* error = on_line_byte(input.front())) return {.error = error};
    input = input.subspan(1);
    if (ends_size_line && left_ == 0) return {.last = true};
  }
  return {};
}

// One byte that is no data. Returns why it is malformed, or nullptr.
const char* Http1ChunkReader::on_line_byte(uint8_t byte) {
  switch (state_) {
    case State::kFirstDigit:
      digits_ = 0;
      left_ = 0;
      if (hex_value(byte) < 0) return "chunk size that is no number";
      state_ = State::kDigits;
      [[fallthrough]];
    case State::kDigits:
      if (const int digit = hex_value(byte); digit >= 0) {
        if (++digits_ > kMaxDigits) return "chunk size beyond all bounds";
        left_ = left_ * 16 + static_cast<uint64_t>(digit);
        return nullptr;
      }
      [[fallthrough]];
    case State::kBlankBeforeExtension:
      if (is_blank(byte)) {
        if (++extension_bytes_ > kMaxExtensionBytes) return "chunk extensions longer than the limit";
        // RFC 9112 section 7.1.1: blanks are bad, but allowed, if an extension follows.
        state_ = State::kBlankBeforeExtension;
      } else if (byte == ';') {
        state_ = State::kExtension;
      } else if (byte == '\r' && state_ == State::kDigits) {
        state_ = State::kSizeLineFeed;
      } else {
        return "chunk size that is no number";
      }
      return nullptr;
    case State::kExtension:
      if (byte == '\r') {
        state_ = State::kSizeLineFeed;
      } else if ((byte < ' ' && byte != '\t') || byte == 0x7f) {
        return "chunk extension with characters that are not allowed";
      } else if (++extension_bytes_ > kMaxExtensionBytes) {
        return "chunk extensions longer than the limit";
      }
      return nullptr;
    case State::kSizeLineFeed:
      if (byte != '\n') return "chunk size line that does not end with CR LF";
      state_ = left_ == 0 ? State::kFirstDigit : State::kData;
      return nullptr;
    case State::kDataReturn:
      if (byte != '\r') return "chunk longer than its size";
      state_ = State::kDataLineFeed;
      return nullptr;
    case State::kDataLineFeed:
      if (byte != '\n') return "chunk longer than its size";
      state_ = State::kFirstDigit;
      return nullptr;
    case State::kData:
      break;
  }
  return nullptr;
}

uint8_t* write_chunk_size(size_t size, uint8_t* at) {
  char* const text = reinterpret_cast<char*>(at);
  at += std::to_chars(text, text + kMaxChunkLine - 2, size, 16).ptr - text;
  *at++ = '\r';
  *at++ = '\n';
  return at;
}

}  // namespace sluice::l7
