// The chunked transfer coding (RFC 9112 section 7.1), read as its bytes come: nothing waits for more.
//
// Strict: sizes are hexadecimal digits and nothing else, each line ends with CR LF, a chunk's data with CR
// LF. Extensions are bounded and dropped; what is sent on is chunked anew.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice::l7 {

class Http1ChunkReader {
 public:
  struct Piece {
    std::span<const uint8_t> data;  ///< of the body; empty if there is none in these bytes
    bool last = false;              ///< the last chunk's line is behind us: trailers follow
    const char* error = nullptr;    ///< why it is malformed
  };

  /// Takes bytes from the front of `input` up to the end of a piece of data. An empty piece that is neither
  /// last nor an error: `input` is used up.
  Piece next(std::span<const uint8_t>& input);

 private:
  enum class State : uint8_t {
    kFirstDigit,
    kDigits,
    kBlankBeforeExtension,
    kExtension,
    kSizeLineFeed,
    kData,
    kDataReturn,
    kDataLineFeed,
  };
  const char* on_line_byte(uint8_t byte);

  State state_ = State::kFirstDigit;
  uint8_t digits_ = 0;
  uint16_t extension_bytes_ = 0;  // of the whole message
  uint64_t left_ = 0;
};

/// The most that write_chunk_size() writes, in bytes.
inline constexpr size_t kMaxChunkLine = 18;

/// Writes a chunk's size and the end of its line; returns its end.
uint8_t* write_chunk_size(size_t size, uint8_t* at);

}  // namespace sluice::l7
