// Typed reading of a configuration tree. Whatever is wrong is collected with its place, so that one run of
// the check tells everything; what is absent or wrong leaves its default in place.
#pragma once

#include <charconv>
#include <concepts>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/config_fields.h"
#include "control/yaml_tree.h"
#include "lb/result.h"

namespace sluice {

/// What is wrong with a configuration, each with its place.
class ConfigProblems {
 public:
  void add(YamlPlace place, std::string text) { problems_.push_back({place, std::move(text)}); }
  bool empty() const { return problems_.empty(); }
  /// One line each, "file:line:column: text", in the order of the file; after kMaxLines the number of those
  /// not shown. What stands in line 0 came from no file: its text alone.
  std::string render(std::string_view filename) const;

  static constexpr size_t kMaxLines = 100;

 private:
  std::vector<YamlError> problems_;
};

/// " in line 3", or "" for what came from no file.
std::string in_line(YamlPlace place);

/// "'text'", "a list", "a map" or "nothing", as an error message says what was found. Long texts are cut.
std::string found_text(const YamlNode& node);

/// A whole number in decimal, without sign, leading zeros or anything behind it.
template <std::unsigned_integral T>
std::optional<T> parse_decimal(std::string_view text) {
  T value = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (parsed.ec != std::errc{} || parsed.ptr != end) return std::nullopt;
  if (text.size() > 1 && text.front() == '0') return std::nullopt;
  return value;
}

/// One map of the file. Its constructor refuses what is no map, unknown fields (with a suggestion), repeated
/// ones and missing ones that are required, all by the table of config_fields.h.
///
/// Each reading function returns the node if the field is there and right, otherwise nullptr; the target is
/// written in the first case only.
class ConfigSection {
 public:
  /// `node` may be nullptr (the map is absent) and must outlive the section. `path` is the place for people,
  /// "vips[3]"; `schema` is the same in the table, "vips[]".
  /// `table` has the fields of this kind of file.
  ConfigSection(ConfigProblems& problems, const YamlNode* node, std::string path, std::string schema,
                const ConfigTable& table = config_table());

  const std::string& path() const { return path_; }
  const YamlNode* node() const { return node_; }
  /// The field whatever it holds, or nullptr.
  const YamlNode* find(std::string_view key) const { return node_ ? node_->find(key) : nullptr; }

  template <std::unsigned_integral T>
  const YamlNode* number(std::string_view key, T& into) const {
    return value(key, into, [this, key](const std::string& text) { return number_in_range<T>(key, text); });
  }
  const YamlNode* flag(std::string_view key, bool& into) const;
  template <typename T>
  const YamlNode* choice(std::string_view key, T& into,
                         std::initializer_list<std::pair<std::string_view, T>> choices) const {
    return value(key, into, [&](const std::string& text) -> Result<T> {
      for (const auto& [name, chosen] : choices) {
        if (name == text) return chosen;
      }
      return fail("");
    });
  }
  /// A scalar that `parse` (const std::string& → Result<T>) takes. An Error's message, if not empty, says why
  /// not, in addition to what the table says is accepted.
  template <typename T, typename Parse>
  const YamlNode* value(std::string_view key, T& into, Parse parse) const {
    const YamlNode* found = scalar(key);
    if (found == nullptr) return nullptr;
    auto parsed = parse(found->text);
    if (!parsed) {
      refuse(*found, key, parsed.error().message);
      return nullptr;
    }
    into = *std::move(parsed);
    return found;
  }
  /// A number of the range that the table gives for `key`.
  template <std::unsigned_integral T>
  Result<T> number_in_range(std::string_view key, std::string_view text) const {
    const ConfigField& field = table_field(key);
    const auto parsed = parse_decimal<T>(text);
    if (!parsed || *parsed < field.min || *parsed > field.max) return fail("");
    return *parsed;
  }

  /// What the table says of a field of this map, which has it.
  const ConfigField& table_field(std::string_view key) const;

  /// A map inside this one.
  ConfigSection section(std::string_view key) const;
  /// The maps of a list.
  std::vector<ConfigSection> sections(std::string_view key) const;
  /// The scalars of a list; each other item is refused and left out. nullopt if absent.
  std::optional<std::vector<const YamlNode*>> scalars(std::string_view key) const;

  /// Adds "path.key: found 'X': reason; accepted: ..." at `at`. `reason` may be empty.
  void refuse(const YamlNode& at, std::string_view key, std::string_view reason = {}) const;
  /// Adds "path.key: message" at `at`; without a key, "path: message".
  void report(const YamlNode& at, std::string_view key, std::string_view message) const;

 private:
  void check_keys() const;
  void refuse_unknown(const YamlNode& key) const;
  const YamlNode* scalar(std::string_view key) const;
  std::string path_to(std::string_view key) const;
  std::string schema_of(std::string_view key) const;

  ConfigProblems* problems_;
  const ConfigTable* table_;
  const YamlNode* node_;
  std::string path_;
  std::string schema_;
};

/// The one of `candidates` that differs from `text` by few typing errors, or an empty view.
std::string_view nearest_word(std::string_view text, const std::vector<std::string_view>& candidates);

}  // namespace sluice
