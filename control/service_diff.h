// What differs between two documents of services, in words for operators. By the schema rather than by the
// model's types: a new field of the configuration is in it from its first day.
#pragma once

#include <string>
#include <vector>

#include "control/yaml_tree.h"

namespace sluice {

struct FieldChange {
  std::string field;  ///< "weight", "health.interval"
  std::string from;   ///< "" if the thing is new
  std::string to;     ///< "" if the thing is gone
};

struct ServiceChange {
  enum class Action { kAdded, kRemoved, kChanged };
  Action action = Action::kChanged;
  std::string kind;  ///< "vip", "pool", "backend"; "tunnel" for that part of the file
  std::string pool;  ///< of a backend
  std::string name;
  std::vector<FieldChange> fields;
  size_t backends = 0;  ///< of a pool that is added or removed: they are not listed on their own

  /// "pool web: backend b3: weight 100 -> 50", "vip web: added: address 203.0.113.10, port 80"
  std::string text() const;
};

/// "added", "removed", "changed"
std::string_view action_text(ServiceChange::Action action);

/// Both are documents that the reader has accepted. VIPs, pools and backends are told apart by name; a field
/// that is absent has its default. Pools first, as VIPs refer to them.
std::vector<ServiceChange> diff_services(const YamlNode& before, const YamlNode& after);

/// The same of one map of the whole configuration, such as `tunnel`: one change or none.
std::vector<ServiceChange> diff_section(const YamlNode& before, const YamlNode& after,
                                        const std::string& key);

}  // namespace sluice
