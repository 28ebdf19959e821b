#include "dataplane/l7/huffman.h"

#include <array>

namespace sluice::l7 {
namespace {

constexpr unsigned kSymbols = 257;
constexpr unsigned kEndOfString = 256;
constexpr unsigned kMaxBits = 30;

// The code is canonical: within a length, codes rise with the symbol. The lengths say it all.
constexpr std::array<uint8_t, kSymbols> kLengths = {
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,  //
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,  //
    6,  10, 10, 12, 13, 6,  8,  11, 10, 10, 8,  11, 8,  6,  6,  6,   //
    5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8,  15, 6,  12, 10,  //
    13, 6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,   //
    7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8,  13, 19, 13, 14, 6,   //
    15, 5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,   //
    6,  7,  6,  5,  5,  6,  7,  7,  7,  7,  7,  15, 11, 14, 13, 28,  //
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,  //
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,  //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,  //
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,  //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,  //
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,  //
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,  //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,  //
    30};

// What a length's codes are, and the table that answers for the short ones, which are nearly all in practice.
constexpr unsigned kShortBits = 10;

struct Code {
  struct Length {
    uint32_t first = 0;  // the lowest code of this length
    uint16_t count = 0;
    uint16_t symbols_from = 0;  // where its symbols begin in by_code
  };
  std::array<uint32_t, kSymbols> codes{};
  std::array<uint16_t, kSymbols> by_code{};
  std::array<Length, kMaxBits + 1> lengths{};
  struct Short {
    uint8_t symbol = 0;
    uint8_t bits = 0;  // 0: a longer code
  };
  std::array<Short, 1u << kShortBits> shorts{};
};

constexpr Code make_code() {
  Code made;
  uint32_t next = 0;
  uint16_t placed = 0;
  for (unsigned bits = 1; bits <= kMaxBits; ++bits) {
    next <<= 1;
    Code::Length& length = made.lengths[bits];
    length.first = next;
    length.symbols_from = placed;
    for (unsigned symbol = 0; symbol < kSymbols; ++symbol) {
      if (kLengths[symbol] != bits) continue;
      made.codes[symbol] = next++;
      made.by_code[placed++] = static_cast<uint16_t>(symbol);
      ++length.count;
      if (bits > kShortBits) continue;
      const uint32_t from = made.codes[symbol] << (kShortBits - bits);
      for (uint32_t i = 0; i < (1u << (kShortBits - bits)); ++i) {
        made.shorts[from + i] = {static_cast<uint8_t>(symbol), static_cast<uint8_t>(bits)};
      }
    }
  }
  return made;
}
constexpr Code kCode = make_code();

}  // namespace

ptrdiff_t huffman_decode(std::span<const uint8_t> coded, char* into) {
  char* out = into;
  const uint8_t* in = coded.data();
  const uint8_t* const end = in + coded.size();
  uint64_t window = 0;  // the next bits, left-aligned
  unsigned held = 0;
  while (true) {
    while (held <= 56 && in < end) {
      window |= static_cast<uint64_t>(*in++) << (56 - held);
      held += 8;
    }
    if (held == 0) return out - into;
    const auto& fast = kCode.shorts[window >> (64 - kShortBits)];
    unsigned bits = fast.bits;
    if (bits != 0 && bits <= held) {
      *out++ = static_cast<char>(fast.symbol);
    } else {
      // Padding is the beginning of the end-of-string code, which is all ones.
      if (held < 8 && window >> (64 - held) == (1u << held) - 1) return out - into;
      unsigned symbol = kEndOfString;
      for (bits = kShortBits + 1; bits <= kMaxBits && bits <= held; ++bits) {
        const uint64_t ahead = (window >> (64 - bits)) - kCode.lengths[bits].first;
        if (ahead >= kCode.lengths[bits].count) continue;
        symbol = kCode.by_code[kCode.lengths[bits].symbols_from + ahead];
        break;
      }
      if (symbol == kEndOfString) return -1;
      *out++ = static_cast<char>(symbol);
    }
    window <<= bits;
    held -= bits;
  }
}

size_t huffman_size(std::string_view text) {
  size_t bits = 0;
  for (const char c : text) bits += kLengths[static_cast<uint8_t>(c)];
  return (bits + 7) / 8;
}

void huffman_encode(std::string_view text, std::string& out) {
  uint64_t window = 0;
  unsigned held = 0;
  for (const char c : text) {
    const auto symbol = static_cast<uint8_t>(c);
    window = window << kLengths[symbol] | kCode.codes[symbol];
    held += kLengths[symbol];
    while (held >= 8) {
      held -= 8;
      out.push_back(static_cast<char>(window >> held));
    }
  }
  if (held != 0) out.push_back(static_cast<char>(window << (8 - held) | (0xffu >> held)));
}

}  // namespace sluice::l7
