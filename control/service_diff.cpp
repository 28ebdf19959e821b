#include "control/service_diff.h"

#include <fmt/format.h>

#include <map>
#include <set>
#include <string_view>

#include "control/config_fields.h"
#include "control/service_edit.h"

namespace sluice {

namespace {

using Action = ServiceChange::Action;

/// The default of a field as it would be written, or "unset".
std::string default_text(std::string_view schema) {
  const ConfigField* field = find_config_field(schema);
  const auto value = field == nullptr ? std::string_view() : field->default_value();
  return value.empty() ? "unset" : std::string(value);
}

std::string value_text(const YamlNode& node) {
  std::string text;
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return "unset";
    case YamlNode::Kind::kScalar:
      text = node.text;
      for (char& c : text) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
      }
      return text;
    case YamlNode::Kind::kList:
      for (const YamlNode& item : node.items) text += (text.empty() ? "" : ", ") + value_text(item);
      return '[' + text + ']';
    case YamlNode::Kind::kMap:
      for (const YamlEntry& entry : node.entries) {
        text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", entry.key.text, value_text(entry.value));
      }
      return '{' + text + '}';
  }
  return text;
}

using Fields = std::map<std::string, std::string>;

/// All fields of a map with those of the maps in it, "health.interval"; not `name`, not `backends`.
void add_fields(Fields& fields, const YamlNode& map, const std::string& prefix) {
  for (const YamlEntry& entry : map.entries) {
    const std::string key = prefix + entry.key.text;
    if (key == "name" || key == "backends") continue;
    if (entry.value.kind == YamlNode::Kind::kMap) {
      add_fields(fields, entry.value, key + '.');
    } else {
      fields.emplace(key, value_text(entry.value));
    }
  }
}

Fields fields_of(const YamlNode& map) {
  Fields fields;
  add_fields(fields, map, "");
  return fields;
}

/// In the order of the schema's table, then whatever it does not know.
std::vector<FieldChange> field_changes(const YamlNode& before, const YamlNode& after,
                                       const std::string& schema) {
  const Fields old_fields = fields_of(before);
  const Fields new_fields = fields_of(after);
  std::vector<std::string> order;
  const std::string prefix = schema + '.';
  for (const ConfigField& field : config_fields()) {
    if (field.path.starts_with(prefix)) order.emplace_back(field.path.substr(prefix.size()));
  }
  std::vector<FieldChange> changes;
  for (const std::string& key : order) {
    const auto old_field = old_fields.find(key);
    const auto new_field = new_fields.find(key);
    if (old_field == old_fields.end() && new_field == new_fields.end()) continue;
    const std::string otherwise = default_text(prefix + key);
    FieldChange change{key, old_field == old_fields.end() ? otherwise : old_field->second,
                       new_field == new_fields.end() ? otherwise : new_field->second};
    if (change.from != change.to) changes.push_back(std::move(change));
  }
  return changes;
}

using ByName = std::map<std::string_view, const YamlNode*>;

ByName by_name(const YamlNode* list) {
  ByName items;
  if (list == nullptr) return items;
  for (const YamlNode& item : list->items) items.emplace(service_name(item), &item);
  return items;
}

size_t backends_of(const YamlNode& item) {
  const YamlNode* backends = item.find("backends");
  return backends == nullptr ? 0 : backends->items.size();
}

/// What a list of maps lost, what of it changed, and what it gained.
class ListDiff {
 public:
  ListDiff(std::string kind, std::string pool, std::string schema)
      : kind_(std::move(kind)), pool_(std::move(pool)), schema_(std::move(schema)) {}

  void run(const YamlNode* before, const YamlNode* after, std::vector<ServiceChange>& changes) const {
    const ByName old_items = by_name(before);
    const ByName new_items = by_name(after);
    static const YamlNode nothing;
    for (const auto& [name, item] : old_items) {
      if (new_items.contains(name)) continue;
      changes.push_back({Action::kRemoved, kind_, pool_, std::string(name), {}, backends_of(*item)});
    }
    if (after == nullptr) return;
    for (const YamlNode& item : after->items) {
      const auto old_item = old_items.find(service_name(item));
      ServiceChange change{Action::kChanged, kind_, pool_, std::string(service_name(item)), {}, 0};
      if (old_item == old_items.end()) {
        change.action = Action::kAdded;
        change.backends = backends_of(item);
        change.fields = field_changes(nothing, item, schema_);
        for (FieldChange& field : change.fields) field.from.clear();
        changes.push_back(std::move(change));
        continue;
      }
      change.fields = field_changes(*old_item->second, item, schema_);
      if (!change.fields.empty()) changes.push_back(std::move(change));
      if (kind_ == "pool") {
        ListDiff("backend", std::string(service_name(item)), "pools[].backends[]")
            .run(old_item->second->find("backends"), item.find("backends"), changes);
      }
    }
  }

 private:
  std::string kind_;
  std::string pool_;
  std::string schema_;
};

}  // namespace

std::string_view action_text(ServiceChange::Action action) {
  return action == Action::kAdded ? "added" : action == Action::kRemoved ? "removed" : "changed";
}

std::string ServiceChange::text() const {
  std::string text = kind == "backend" ? fmt::format("pool {}: backend {}: ", pool, name)
                     : name.empty()    ? fmt::format("{}: ", kind)
                                       : fmt::format("{} {}: ", kind, name);
  if (action != Action::kChanged) {
    text += action_text(action);
    if (kind == "pool") text += fmt::format(" with {} backend{}", backends, backends == 1 ? "" : "s");
  }
  for (size_t i = 0; i < fields.size(); ++i) {
    const FieldChange& field = fields[i];
    if (i > 0) text += ", ";
    if (i == 0 && action == Action::kAdded) text += ": ";
    text += action == Action::kAdded ? fmt::format("{} {}", field.field, field.to)
                                     : fmt::format("{} {} -> {}", field.field, field.from, field.to);
  }
  return text;
}

std::vector<ServiceChange> diff_services(const YamlNode& before, const YamlNode& after) {
  std::vector<ServiceChange> changes;
  ListDiff("pool", "", "pools[]").run(before.find("pools"), after.find("pools"), changes);
  ListDiff("vip", "", "vips[]").run(before.find("vips"), after.find("vips"), changes);
  return changes;
}

std::vector<ServiceChange> diff_section(const YamlNode& before, const YamlNode& after,
                                        const std::string& key) {
  static const YamlNode nothing;
  const YamlNode* old_map = before.find(key);
  const YamlNode* new_map = after.find(key);
  ServiceChange change{Action::kChanged, key, "", "", {}, 0};
  change.fields = field_changes(old_map ? *old_map : nothing, new_map ? *new_map : nothing, key);
  if (change.fields.empty()) return {};
  return {change};
}

}  // namespace sluice
