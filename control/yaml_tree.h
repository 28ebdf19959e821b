// A YAML document as a tree that remembers where each value stood.
//
// Built from yaml-cpp's event stream rather than its Node, which loses repeated keys, expands aliases and
// forgets the place of a key. The tree is bounded: a hostile file costs memory in proportion to its size.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace sluice {

inline constexpr size_t kMaxYamlBytes = 16u << 20;
inline constexpr size_t kMaxYamlNodes = 2'000'000;
inline constexpr size_t kMaxYamlDepth = 32;

/// Line and column, from 1.
struct YamlPlace {
  int line = 1;
  int column = 1;
};

struct YamlEntry;

struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  YamlPlace place;
  std::string text;                ///< of a scalar
  std::vector<YamlNode> items;     ///< of a list
  std::vector<YamlEntry> entries;  ///< of a map, in the order of the file, repeated keys kept

  /// The first value under `key`, or nullptr; also for what is not a map.
  const YamlNode* find(std::string_view key) const;
};

struct YamlEntry {
  YamlNode key;
  YamlNode value;
};

struct YamlError {
  YamlPlace place;
  std::string message;
};

/// Parses one document. An empty text gives a null node. Errors, with their place: bad syntax, bytes that
/// are not UTF-8 or are control characters, aliases, tags, a second document, more than kMaxYamlBytes,
/// kMaxYamlNodes or kMaxYamlDepth. Does not throw but for lack of memory.
tl::expected<YamlNode, YamlError> parse_yaml(std::string_view text);

}  // namespace sluice
