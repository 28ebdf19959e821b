// Reading of a protobuf message that is written as JSON or YAML, by the rules of protobuf's JSON mapping:
// fields in snake_case or lowerCamelCase, null for what is not set, durations such as "0.25s", enums by name,
// numbers also as strings. What a message may hold is the table of envoy_fields.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/config_reader.h"

namespace sluice {

/// What has been found in one document.
struct EnvoyReport {
  ConfigProblems errors;
  std::vector<std::pair<YamlPlace, std::string>> warnings;  ///< in the order of reading
  std::set<std::string> read;                               ///< "Cluster.name": what readers have looked for
};

/// One message. Its constructor refuses what is no map, fields that the table does not have (with a
/// suggestion) and those given twice, and warns of those that are ignored.
///
/// Each reading function returns the value's node if the field is there and right, otherwise nullptr; the
/// target is written in the first case only.
class EnvoyMessage {
 public:
  /// `node` may be nullptr (the message is absent) and must outlive this; `path` is for people; `type` is the
  /// message's name in the table. "@type" is a field of every message.
  EnvoyMessage(EnvoyReport& report, const YamlNode* node, std::string path, std::string_view type);

  /// Whether the message is there, be it empty.
  bool present() const { return node_ != nullptr; }
  const std::string& path() const { return path_; }
  const YamlNode* node() const { return node_; }

  /// The field whatever it holds; nullptr if it is absent or null.
  const YamlNode* find(std::string_view field) const;

  const YamlNode* text(std::string_view field, std::string& into) const;
  const YamlNode* flag(std::string_view field, bool& into) const;
  const YamlNode* whole(std::string_view field, uint64_t min, uint64_t max, uint64_t& into) const;
  template <std::unsigned_integral T>
  const YamlNode* number(std::string_view field, T& into, uint64_t min = 0,
                         uint64_t max = std::numeric_limits<T>::max()) const {
    uint64_t value = 0;
    const YamlNode* found = whole(field, min, max, value);
    if (found != nullptr) into = static_cast<T>(value);
    return found;
  }
  /// A duration, rounded up to milliseconds; at most a day.
  const YamlNode* duration(std::string_view field, std::chrono::milliseconds& into) const;
  /// A Percent, 0..100.
  const YamlNode* percent(std::string_view field, double& into) const;
  template <typename T>
  const YamlNode* choice(std::string_view field, T& into,
                         std::initializer_list<std::pair<std::string_view, T>> choices) const {
    std::string name;
    const YamlNode* found = text(field, name);
    if (found == nullptr) return nullptr;
    std::string names;
    for (const auto& [known, value] : choices) {
      if (known == name) {
        into = value;
        return found;
      }
      names += (names.empty() ? "" : ", ") + std::string(known);
    }
    refuse(*found, field, "accepted: " + names);
    return nullptr;
  }
  /// The scalars of a list.
  std::vector<const YamlNode*> texts(std::string_view field) const;

  EnvoyMessage message(std::string_view field, std::string_view type) const;
  std::vector<EnvoyMessage> messages(std::string_view field, std::string_view type) const;
  /// A google.protobuf.Any whose "@type" ends in "/`package`.`type`"; others are refused.
  EnvoyMessage typed(std::string_view field, std::string_view package, std::string_view type) const;
  /// The part of "@type" behind the last slash; "" if there is none.
  std::string type_url(std::string_view field) const;

  /// Which of several fields that exclude each other is there, or "". A second one is refused.
  std::string_view one_of(std::initializer_list<std::string_view> fields) const;
  /// Refuses the message if the field is not there.
  const YamlNode* require(std::string_view field) const;

  /// Adds "path.field: found 'X'; reason" at `at`.
  void refuse(const YamlNode& at, std::string_view field, std::string_view reason) const;
  /// Adds "path.field: text" at `at`; without a field, "path: text".
  void report(const YamlNode& at, std::string_view field, std::string_view text) const;
  /// The same as a warning.
  void warn(const YamlNode& at, std::string_view field, std::string_view text) const;

 private:
  void check_fields() const;
  void refuse_unknown(const YamlNode& key, std::string_view name) const;
  std::string path_to(std::string_view field) const;
  EnvoyMessage child(const YamlNode* node, std::string path, std::string_view type) const;

  EnvoyReport* report_;
  const YamlNode* node_;
  std::string path_;
  std::string_view type_;
};

}  // namespace sluice
