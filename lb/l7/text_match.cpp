#include "lb/l7/text_match.h"

#include <fmt/format.h>

#include <algorithm>

namespace sluice {
namespace {

bool same_letter(char a, char b) {
  return ascii_lower(a) == ascii_lower(b);
}

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), same_letter);
}

std::string to_ascii_lower(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), ascii_lower);
  return lower;
}

Result<TextMatcher> TextMatcher::build(const TextMatch& match) {
  TextMatcher matcher(match);
  if (match.kind == TextMatchKind::kRegex) {
    if (match.ignore_case)
      return fail("ignore_case is not for regular expressions: begin the expression with (?i)");
    auto regex = Regex::compile(match.value);
    if (!regex) return tl::unexpected(regex.error());
    matcher.regex_ = std::move(*regex);
  }
  return matcher;
}

bool TextMatcher::matches(std::string_view text) const {
  const std::string_view value = match_.value;
  const auto equal = [this](std::string_view a, std::string_view b) {
    return match_.ignore_case ? equal_ignoring_case(a, b) : a == b;
  };
  switch (match_.kind) {
    case TextMatchKind::kExact:
      return equal(text, value);
    case TextMatchKind::kPrefix:
      return equal(text.substr(0, value.size()), value);
    case TextMatchKind::kSuffix:
      return text.size() >= value.size() && equal(text.substr(text.size() - value.size()), value);
    case TextMatchKind::kContains:
      if (!match_.ignore_case) return text.find(value) != std::string_view::npos;
      return std::search(text.begin(), text.end(), value.begin(), value.end(), same_letter) != text.end() ||
             value.empty();
    case TextMatchKind::kRegex:
      return regex_->matches(text);
    case TextMatchKind::kPresent:
      return true;
  }
  return false;
}

std::string TextMatcher::describe() const {
  const char* const ignoring = match_.ignore_case ? " (whatever the case)" : "";
  switch (match_.kind) {
    case TextMatchKind::kExact:
      return fmt::format("be '{}'{}", match_.value, ignoring);
    case TextMatchKind::kPrefix:
      return fmt::format("begin with '{}'{}", match_.value, ignoring);
    case TextMatchKind::kSuffix:
      return fmt::format("end with '{}'{}", match_.value, ignoring);
    case TextMatchKind::kContains:
      return fmt::format("contain '{}'{}", match_.value, ignoring);
    case TextMatchKind::kRegex:
      return fmt::format("match the expression '{}'", match_.value);
    case TextMatchKind::kPresent:
      return "be there";
  }
  return "?";
}

}  // namespace sluice
