// The fields of one kind of configuration file, in one table: the reader takes from it what a map may hold,
// which fields are required, number ranges and the words of its errors; the file's page in docs/ is tested
// against it.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

struct ConfigField {
  std::string_view path;       ///< "vips[].port"; [] stands for each item of a list
  std::string_view accepted;   ///< in words; empty: "a whole number from `min` to `max`"
  std::string_view otherwise;  ///< the default in words, or kRequired
  std::string_view help;       ///< one sentence
  uint64_t min = 0;
  uint64_t max = 0;
  bool secret = false;  ///< what is found there is not repeated in messages

  static constexpr std::string_view kRequired = "required";
  bool is_required() const { return otherwise == kRequired; }
  /// What the field takes, in words.
  std::string accepted_text() const;
  /// The default as it would be written ("100", "active"); "" if it is told in words or there is none.
  std::string_view default_value() const;
};

/// The last part of a path: "port" of "vips[].port".
std::string_view config_field_key(const ConfigField& field);

class ConfigTable {
 public:
  /// `fields` outlive the table.
  explicit ConfigTable(std::span<const ConfigField> fields);

  /// All fields, in the order of the documentation.
  std::span<const ConfigField> fields() const { return fields_; }
  /// The field with exactly this path, or nullptr.
  const ConfigField* find(std::string_view path) const;
  /// The fields of the map at `parent` ("vips[]", "tunnel", "" for the whole file), in the order of the
  /// table.
  const std::vector<const ConfigField*>& of(std::string_view parent) const;

 private:
  std::span<const ConfigField> fields_;
  std::map<std::string_view, const ConfigField*> by_path_;
  std::map<std::string_view, std::vector<const ConfigField*>> by_parent_;
};

}  // namespace sluice
