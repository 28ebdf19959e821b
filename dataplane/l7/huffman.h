// The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace sluice::l7 {

/// The most bytes that decoding `coded_size` bytes gives: the shortest code has five bits.
constexpr size_t huffman_decoded_bound(size_t coded_size) {
  return coded_size * 8 / 5;
}

/// Decodes into `into`, which has room for huffman_decoded_bound(coded.size()) bytes. Returns the number of
/// bytes written, or -1 for what is no code: the end-of-string symbol, or a padding of more than seven bits
/// or of zeros.
ptrdiff_t huffman_decode(std::span<const uint8_t> coded, char* into);

/// The number of bytes that `text` takes, coded.
size_t huffman_size(std::string_view text);

/// Appends `text`, coded.
void huffman_encode(std::string_view text, std::string& out);

}  // namespace sluice::l7
