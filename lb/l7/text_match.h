// What the text of a header or a query parameter must look like.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "lb/l7/regex.h"

namespace sluice {

enum class TextMatchKind : uint8_t { kExact, kPrefix, kSuffix, kContains, kRegex, kPresent };

/// As configured.
struct TextMatch {
  TextMatchKind kind = TextMatchKind::kPresent;
  std::string value;         ///< not for kPresent; kRegex matches the whole text
  bool ignore_case = false;  ///< of ASCII letters; not for kRegex, which has (?i)
  bool invert = false;       ///< matches what otherwise would not, an absent text too
  friend bool operator==(const TextMatch&, const TextMatch&) = default;
};

class TextMatcher {
 public:
  static Result<TextMatcher> build(const TextMatch& match);
  /// Whether a text that is there matches, `invert` left aside: that is for who knows all texts of the name.
  bool matches(std::string_view text) const;
  bool inverted() const { return match_.invert; }
  /// "begin with 'x'": what comes behind "must" and "must not".
  std::string describe() const;

 private:
  explicit TextMatcher(TextMatch match) : match_(std::move(match)) {}
  TextMatch match_;
  std::optional<Regex> regex_;
};

/// The letter in lower case, if it is one of ASCII.
constexpr char ascii_lower(char c) {
  return 'A' <= c && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}
/// Equal but for the case of ASCII letters.
bool equal_ignoring_case(std::string_view a, std::string_view b);
std::string to_ascii_lower(std::string_view text);

}  // namespace sluice
