// HTTP/2 frames as words, for tests: `HEADERS 1 END_STREAM @get x=y`, `DATA 1 "hello" PAD=3`. README.md
// beside this file is the notation.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/l7/http2_frame.h"
#include "tests/unit/nghttp2_hpack.h"

namespace sluice::l7 {

/// One word of a line: `key`, `key=value` or "quoted".
struct Word {
  std::string key;
  std::optional<std::string> value;
  bool quoted = false;
};

/// Splits a line; `@get` and its like become the fields that they stand for. Throws std::runtime_error.
std::vector<Word> words_of(std::string_view line);

/// A number in decimal or 0x...; throws std::runtime_error.
uint64_t number_of(std::string_view text);

Http2Error error_named(std::string_view name);

struct Frame {
  FrameType type = FrameType::kData;
  uint8_t flags = 0;
  uint32_t stream = 0;
  Bytes payload;
  TestFields fields;  ///< of a header block that ends here
};

/// The frame that words from `at` on describe. Throws std::runtime_error on a word that it does not know.
Frame frame_of(const std::vector<Word>& words, size_t at);
Bytes bytes_of(const Frame& frame);

/// Reads frames from bytes, for what the session under test has written.
class FrameReader {
 public:
  /// The frames in `bytes`, which are whole ones. Throws std::runtime_error.
  std::vector<Frame> read(std::span<const uint8_t> bytes);
  /// The reader has announced SETTINGS_HEADER_TABLE_SIZE.
  void change_table_size(size_t size) { inflater_.change_table_size(size); }

 private:
  Nghttp2Inflater inflater_;
  Bytes block_;
};

/// A text of any length, short enough for a message, different for different texts.
std::string in_quotes(std::string_view text);
std::string text_of(const TestFields& fields);
/// In the notation; without the text that GOAWAY carries for people.
std::string text_of(const Frame& frame);

}  // namespace sluice::l7
