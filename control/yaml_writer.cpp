#include "control/yaml_writer.h"

#include <fmt/format.h>
#include <yaml-cpp/emitter.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "control/config_fields.h"
#include "control/config_reader.h"
#include "lb/siphash.h"

namespace sluice {

namespace {

YamlNode node_of(YamlNode::Kind kind) {
  YamlNode node;
  node.kind = kind;
  node.place = {0, 0};
  return node;
}

/// Nothing but scalars inside: fits on one line.
bool is_leaf_map(const YamlNode& node) {
  return std::all_of(node.entries.begin(), node.entries.end(), [](const YamlEntry& entry) {
    return entry.value.kind == YamlNode::Kind::kScalar || entry.value.kind == YamlNode::Kind::kNull;
  });
}

/// `depth` counts maps and lists from the top: the items of `backends` are the first that share a line.
void emit(YAML::Emitter& out, const YamlNode& node, int depth) {
  constexpr int kFlowDepth = 4;
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      out << YAML::Null;
      return;
    case YamlNode::Kind::kScalar:
      out << node.text;
      return;
    case YamlNode::Kind::kList: {
      const bool flow = node.items.empty() ||
                        std::all_of(node.items.begin(), node.items.end(),
                                    [](const auto& item) { return item.kind == YamlNode::Kind::kScalar; });
      out << (flow ? YAML::Flow : YAML::Block) << YAML::BeginSeq;
      for (const YamlNode& item : node.items) emit(out, item, depth + 1);
      out << YAML::EndSeq;
      return;
    }
    case YamlNode::Kind::kMap: {
      const bool flow = node.entries.empty() || (depth >= kFlowDepth && is_leaf_map(node));
      out << (flow ? YAML::Flow : YAML::Block) << YAML::BeginMap;
      for (const YamlEntry& entry : node.entries) {
        out << YAML::Key;
        emit(out, entry.key, depth + 1);
        out << YAML::Value;
        emit(out, entry.value, depth + 1);
      }
      out << YAML::EndMap;
      return;
    }
  }
}

nlohmann::ordered_json scalar_json(const std::string& text, std::string_view schema) {
  const ConfigField* field = find_config_field(schema);
  if (field != nullptr && field->accepted.empty()) {
    if (const auto number = parse_decimal<uint64_t>(text)) return *number;
  }
  if (field != nullptr && field->accepted == "true or false" && (text == "true" || text == "false")) {
    return text == "true";
  }
  return text;
}

/// What fingerprint() hashes: kinds and lengths make it unambiguous.
void add_canonical(std::string& text, const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      text += 'n';
      return;
    case YamlNode::Kind::kScalar:
      fmt::format_to(std::back_inserter(text), "s{}:{}", node.text.size(), node.text);
      return;
    case YamlNode::Kind::kList:
      fmt::format_to(std::back_inserter(text), "l{}:", node.items.size());
      for (const YamlNode& item : node.items) add_canonical(text, item);
      return;
    case YamlNode::Kind::kMap:
      fmt::format_to(std::back_inserter(text), "m{}:", node.entries.size());
      for (const YamlEntry& entry : node.entries) {
        add_canonical(text, entry.key);
        add_canonical(text, entry.value);
      }
      return;
  }
}

}  // namespace

YamlNode yaml_scalar(std::string text) {
  YamlNode node = node_of(YamlNode::Kind::kScalar);
  node.text = std::move(text);
  return node;
}

YamlNode yaml_list(std::vector<YamlNode> items) {
  YamlNode node = node_of(YamlNode::Kind::kList);
  node.items = std::move(items);
  return node;
}

YamlNode yaml_map() {
  return node_of(YamlNode::Kind::kMap);
}

void yaml_set(YamlNode& map, std::string_view key, YamlNode value) {
  for (YamlEntry& entry : map.entries) {
    if (entry.key.kind == YamlNode::Kind::kScalar && entry.key.text == key) {
      entry.value = std::move(value);
      return;
    }
  }
  map.entries.push_back({yaml_scalar(std::string(key)), std::move(value)});
}

void yaml_erase(YamlNode& map, std::string_view key) {
  std::erase_if(map.entries, [&](const YamlEntry& entry) {
    return entry.key.kind == YamlNode::Kind::kScalar && entry.key.text == key;
  });
}

std::string_view yaml_text(const YamlNode& map, std::string_view key) {
  const YamlNode* found = map.find(key);
  return found != nullptr && found->kind == YamlNode::Kind::kScalar ? std::string_view(found->text)
                                                                    : std::string_view();
}

std::string to_yaml(const YamlNode& node) {
  YAML::Emitter out;
  emit(out, node, 0);
  return std::string(out.c_str(), out.size()) + '\n';
}

nlohmann::ordered_json to_json(const YamlNode& node, std::string_view schema) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return nullptr;
    case YamlNode::Kind::kScalar:
      return scalar_json(node.text, schema);
    case YamlNode::Kind::kList: {
      auto list = nlohmann::ordered_json::array();
      const std::string item_schema = std::string(schema) + "[]";
      for (const YamlNode& item : node.items) list.push_back(to_json(item, item_schema));
      return list;
    }
    case YamlNode::Kind::kMap:
      break;
  }
  auto map = nlohmann::ordered_json::object();
  for (const YamlEntry& entry : node.entries) {
    map[entry.key.text] =
        to_json(entry.value, schema.empty() ? entry.key.text : fmt::format("{}.{}", schema, entry.key.text));
  }
  return map;
}

uint64_t fingerprint(const YamlNode& node) {
  std::string text;
  add_canonical(text, node);
  return siphash<2, 4>(SipKey{}, text);
}

}  // namespace sluice
