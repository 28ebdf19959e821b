// Every field of the configuration file, in one table: the reader takes from it what a map may hold, which
// fields are required, number ranges and the words of its errors; docs/configuration.md is tested against it.
#pragma once

#include <cstdint>
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

  static constexpr std::string_view kRequired = "required";
  bool is_required() const { return otherwise == kRequired; }
  /// What the field takes, in words.
  std::string accepted_text() const;
  /// The default as it would be written ("100", "active"); "" if it is told in words or there is none.
  std::string_view default_value() const;
};

/// All fields, in the order of the documentation.
std::span<const ConfigField> config_fields();

/// The field with exactly this path, or nullptr.
const ConfigField* find_config_field(std::string_view path);

/// The fields of the map at `parent` ("vips[]", "tunnel", "" for the whole file), in the order of the table.
const std::vector<const ConfigField*>& config_fields_of(std::string_view parent);

/// The last part of a path: "port" of "vips[].port".
std::string_view config_field_key(const ConfigField& field);

}  // namespace sluice
