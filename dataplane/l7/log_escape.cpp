#include "dataplane/l7/log_escape.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace sluice::l7 {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kReplacement = "\xef\xbf\xbd";

constexpr bool is_plain(uint8_t byte) {
  return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

constexpr std::array<bool, 256> make_plain() {
  std::array<bool, 256> plain{};
  for (size_t byte = 0; byte < plain.size(); ++byte) plain[byte] = is_plain(static_cast<uint8_t>(byte));
  return plain;
}
constexpr std::array<bool, 256> kPlain = make_plain();

size_t plain_length(std::string_view text) {
  size_t length = 0;
  while (length < text.size() && kPlain[static_cast<uint8_t>(text[length])]) ++length;
  return length;
}

/// The size of the UTF-8 sequence at the front (RFC 3629 section 4), which does not begin with ASCII; 0:
/// none.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0}; };
  const auto tail = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const uint8_t first = byte(0);
  if (first >= 0xc2 && first <= 0xdf) return tail(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    // Neither what would fit into two bytes nor half of a surrogate pair.
    if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f)) return 0;
    return tail(1) && tail(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if ((first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f)) return 0;
    return tail(1) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

void append_json_control(std::string& out, uint8_t byte) {
  switch (byte) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
  }
}

}  // namespace

void append_text_escaped(std::string& out, std::string_view value) {
  while (true) {
    const size_t plain = plain_length(value);
    out.append(value.substr(0, plain));
    if (plain == value.size()) return;
    const auto byte = static_cast<uint8_t>(value[plain]);
    out += '\\';
    if (byte == '"' || byte == '\\') {
      out += static_cast<char>(byte);
    } else {
      out += 'x';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
    value.remove_prefix(plain + 1);
  }
}

void append_json_escaped(std::string& out, std::string_view value) {
  while (true) {
    const size_t plain = plain_length(value);
    out.append(value.substr(0, plain));
    value.remove_prefix(plain);
    if (value.empty()) return;
    const auto byte = static_cast<uint8_t>(value.front());
    size_t taken = 1;
    if (byte < 0x80) {
      append_json_control(out, byte);
    } else if (taken = utf8_length(value); taken == 0) {
      out.append(kReplacement);
      taken = 1;
    } else if (byte == 0xc2 && static_cast<uint8_t>(value[1]) < 0xa0) {
      // U+0080 to U+009F are control characters to a terminal.
      append_json_control(out, static_cast<uint8_t>(value[1]));
    } else {
      out.append(value.substr(0, taken));
    }
    value.remove_prefix(taken);
  }
}

}  // namespace sluice::l7
