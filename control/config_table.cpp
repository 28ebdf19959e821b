#include "control/config_table.h"

#include <fmt/format.h>

namespace sluice {

namespace {

std::string_view parent_of(std::string_view path) {
  const auto dot = path.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : path.substr(0, dot);
}

}  // namespace

std::string ConfigField::accepted_text() const {
  if (!accepted.empty()) return std::string(accepted);
  return fmt::format("a whole number from {} to {}", min, max);
}

std::string_view ConfigField::default_value() const {
  // "0: never" is a value with its meaning.
  const auto value = otherwise.substr(0, otherwise.find(':'));
  return is_required() || value == "none" || value.find(' ') != std::string_view::npos ? std::string_view()
                                                                                       : value;
}

std::string_view config_field_key(const ConfigField& field) {
  const auto dot = field.path.rfind('.');
  return dot == std::string_view::npos ? field.path : field.path.substr(dot + 1);
}

ConfigTable::ConfigTable(std::span<const ConfigField> fields) : fields_(fields) {
  for (const ConfigField& field : fields_) {
    by_path_.emplace(field.path, &field);
    by_parent_[parent_of(field.path)].push_back(&field);
  }
}

const ConfigField* ConfigTable::find(std::string_view path) const {
  const auto found = by_path_.find(path);
  return found == by_path_.end() ? nullptr : found->second;
}

const std::vector<const ConfigField*>& ConfigTable::of(std::string_view parent) const {
  static const std::vector<const ConfigField*> none;
  const auto found = by_parent_.find(parent);
  return found == by_parent_.end() ? none : found->second;
}

}  // namespace sluice
