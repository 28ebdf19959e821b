#include "control/yaml_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
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

/// What can stand without quotes wherever it stands, and is a text then: letters, digits and some signs.
/// Written by hand, as yaml-cpp's emitter tries a dozen regular expressions on each scalar: that was 40 % of
/// the time that a change took with 10 000 backends.
bool is_plain(std::string_view text) {
  const auto letter_or_digit = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  if (text.empty() || !letter_or_digit(text.front()) || text.back() == ':') return false;
  const bool safe = std::all_of(text.begin(), text.end(), [&](char c) {
    // A colon is part of a text as long as no space follows.
    return letter_or_digit(c) || c == '.' || c == '_' || c == '-' || c == '/' || c == ':';
  });
  return safe && text != "null" && text != "Null" && text != "NULL";
}

void add_scalar(std::string& out, std::string_view text) {
  if (is_plain(text)) {
    out += text;
    return;
  }
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  out += '"';
}

/// On one line, between brackets.
void add_flow(std::string& out, const YamlNode& node) {
  const char* separator = "";
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      out += '~';
      return;
    case YamlNode::Kind::kScalar:
      return add_scalar(out, node.text);
    case YamlNode::Kind::kList:
      out += '[';
      for (const YamlNode& item : node.items) {
        out += std::exchange(separator, ", ");
        add_flow(out, item);
      }
      out += ']';
      return;
    case YamlNode::Kind::kMap:
      out += '{';
      for (const YamlEntry& entry : node.entries) {
        out += std::exchange(separator, ", ");
        add_flow(out, entry.key);
        out += ": ";
        add_flow(out, entry.value);
      }
      out += '}';
      return;
  }
}

/// `depth` counts maps and lists from the top: the items of `backends` are the first that share a line.
bool is_flow(const YamlNode& node, int depth) {
  constexpr int kFlowDepth = 4;
  if (node.kind == YamlNode::Kind::kMap) {
    return node.entries.empty() || (depth >= kFlowDepth && is_leaf_map(node));
  }
  return node.kind != YamlNode::Kind::kList ||
         std::all_of(node.items.begin(), node.items.end(),
                     [](const YamlNode& item) { return item.kind == YamlNode::Kind::kScalar; });
}

/// Begins in column `indent`, where the text already is, and ends with a line end.
void add_block(std::string& out, const YamlNode& node, size_t indent, int depth) {
  constexpr size_t kStep = 2;
  if (is_flow(node, depth)) {
    add_flow(out, node);
    out += '\n';
    return;
  }
  bool first = true;
  for (const YamlNode& item : node.items) {
    if (!std::exchange(first, false)) out.append(indent, ' ');
    out += "- ";
    add_block(out, item, indent + kStep, depth + 1);
  }
  for (const YamlEntry& entry : node.entries) {
    if (!std::exchange(first, false)) out.append(indent, ' ');
    add_flow(out, entry.key);
    out += ':';
    if (is_flow(entry.value, depth + 1)) {
      out += ' ';
    } else {
      out += '\n';
      out.append(indent + kStep, ' ');
    }
    add_block(out, entry.value, indent + kStep, depth + 1);
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

void add_canonical_map(std::string& text, const YamlNode& map, const std::vector<YamlEntry>& more);

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
      return add_canonical_map(text, node, {});
  }
}

void add_canonical_map(std::string& text, const YamlNode& map, const std::vector<YamlEntry>& more) {
  fmt::format_to(std::back_inserter(text), "m{}:", map.entries.size() + more.size());
  for (const auto* entries : {&map.entries, &more}) {
    for (const YamlEntry& entry : *entries) {
      add_canonical(text, entry.key);
      add_canonical(text, entry.value);
    }
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
  std::string text;
  add_block(text, node, 0, 0);
  return text;
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
  return fingerprint_with(node, {});
}

uint64_t fingerprint_with(const YamlNode& map, const std::vector<YamlEntry>& more) {
  std::string text;
  if (more.empty()) {
    add_canonical(text, map);
  } else {
    add_canonical_map(text, map, more);
  }
  return siphash<2, 4>(SipKey{}, text);
}

}  // namespace sluice
