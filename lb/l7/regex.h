// A regular expression whose time to match is linear in the text, whatever the expression says: RE2's syntax
// and engine. Backtracking engines let one request with the right path hold a worker for minutes.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "lb/result.h"

namespace re2 {
class RE2;
}

namespace sluice {

class Regex {
 public:
  /// The error says what is wrong with the expression and where. Bytes, not characters: `.` is any byte.
  static Result<Regex> compile(const std::string& expression);

  /// Whether all of `text` matches. Any thread. Memory is bounded by the engine's cache, which grows to its
  /// bound in the first matches and is then used again.
  bool matches(std::string_view text) const;

  /// Replaces each match in `text` by `substitution`, in which \1 .. \9 are groups, \0 the match and \\ a
  /// backslash. True if there was one.
  bool replace_all(std::string& text, const std::string& substitution) const;
  /// Whether `substitution` is of that form and names only groups that there are.
  Result<void> check_substitution(const std::string& substitution) const;

  const std::string& expression() const;

 private:
  explicit Regex(std::shared_ptr<const re2::RE2> compiled) : compiled_(std::move(compiled)) {}
  std::shared_ptr<const re2::RE2> compiled_;
};

}  // namespace sluice
