// The small parts that field values and start lines are made of: tokens, white space, lists (RFC 9110
// section 5.6).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice::l7 {

/// Characters of a token (RFC 9110 section 5.6.2) in lower case; 0 for all others.
inline constexpr std::array<char, 256> kLowerToken = [] {
  std::array<char, 256> lower{};
  for (int c = 'a'; c <= 'z'; ++c) {
    lower[static_cast<size_t>(c)] = static_cast<char>(c);
    lower[static_cast<size_t>(c - 'a' + 'A')] = static_cast<char>(c);
  }
  for (int c = '0'; c <= '9'; ++c) lower[static_cast<size_t>(c)] = static_cast<char>(c);
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) lower[static_cast<uint8_t>(c)] = c;
  return lower;
}();

constexpr bool is_token_character(char c) {
  return kLowerToken[static_cast<uint8_t>(c)] != 0;
}

constexpr bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

constexpr bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

inline bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, is_token_character);
}

inline bool is_number(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, is_digit);
}

/// RFC 9110 section 5.5 calls all control characters but the tabulator invalid; CR inside a line is one.
inline bool has_control_character(std::string_view text) {
  bool found = false;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    found |= (byte < ' ' && byte != '\t') || byte == 0x7f;
  }
  return found;
}

/// Whether two texts are equal but for the case of ASCII letters.
inline bool equal_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

/// Without white space at its ends.
constexpr std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

/// Calls `visit(element)` for each element of a comma-separated list that is not empty (RFC 9110
/// section 5.6.1.2).
template <typename Visit>
void for_each_element(std::string_view list, Visit visit) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    const std::string_view element = trimmed(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
    if (!element.empty()) visit(element);
  }
}

/// Whether an element of the list is `wanted` but for the case of letters.
inline bool list_has(std::string_view list, std::string_view wanted) {
  bool found = false;
  for_each_element(list, [&](std::string_view element) { found |= equal_ignoring_case(element, wanted); });
  return found;
}

}  // namespace sluice::l7
