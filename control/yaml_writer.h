// A YamlNode tree as text again: YAML for people and files, JSON for programs.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "control/yaml_tree.h"

namespace sluice {

YamlNode yaml_scalar(std::string text);
YamlNode yaml_list(std::vector<YamlNode> items = {});
YamlNode yaml_map();

/// Sets `key` of a map, in the place of its first value or behind all others.
void yaml_set(YamlNode& map, std::string_view key, YamlNode value);

/// Removes all values under `key`.
void yaml_erase(YamlNode& map, std::string_view key);

/// The text of the scalar under `key`, or "".
std::string_view yaml_text(const YamlNode& map, std::string_view key);

/// YAML that parse_yaml() reads back as an equal tree, but for places. Lists of `vips` and `pools` are a
/// block, what is inside their items a line each.
std::string to_yaml(const YamlNode& node);

/// JSON of the part of a configuration whose path in the schema is `schema` ("pools[]", "" for the whole):
/// what the table of config_fields.h calls a whole number or a flag is one, all other scalars are strings.
nlohmann::ordered_json to_json(const YamlNode& node, std::string_view schema);

/// The same for two trees that hold the same, in the same order; a fixed function of the content. Not a
/// defence against somebody who wants two trees to look the same.
uint64_t fingerprint(const YamlNode& node);

/// The same for a map that has `more` behind its entries.
uint64_t fingerprint_with(const YamlNode& map, const std::vector<YamlEntry>& more);

}  // namespace sluice
