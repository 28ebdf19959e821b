#include "lb/l7/regex.h"

#include <fmt/format.h>
#include <re2/re2.h>

namespace sluice {
namespace {

// Of one expression; RE2's own default is 8 MiB. An expression that needs more to compile is refused.
constexpr int64_t kMaxMemory = 1 << 20;

}  // namespace

Result<Regex> Regex::compile(const std::string& expression) {
  RE2::Options options;
  options.set_encoding(RE2::Options::EncodingLatin1);
  options.set_log_errors(false);
  options.set_max_mem(kMaxMemory);
  auto compiled = std::make_shared<const RE2>(expression, options);
  if (!compiled->ok()) return fail(fmt::format("regular expression '{}': {}", expression, compiled->error()));
  return Regex(std::move(compiled));
}

bool Regex::matches(std::string_view text) const {
  return RE2::FullMatch(re2::StringPiece(text.data(), text.size()), *compiled_);
}

bool Regex::replace_all(std::string& text, const std::string& substitution) const {
  return RE2::GlobalReplace(&text, *compiled_, substitution) > 0;
}

Result<void> Regex::check_substitution(const std::string& substitution) const {
  std::string error;
  if (compiled_->CheckRewriteString(substitution, &error)) return {};
  return fail(
      fmt::format("substitution '{}' of regular expression '{}': {}", substitution, expression(), error));
}

const std::string& Regex::expression() const {
  return compiled_->pattern();
}

}  // namespace sluice
