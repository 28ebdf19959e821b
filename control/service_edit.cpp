#include "control/service_edit.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "control/config_reader.h"
#include "control/yaml_writer.h"
#include "lb/address.h"

namespace sluice {

namespace {

using Why = EditRefused::Why;

tl::unexpected<EditRefused> refuse(Why why, std::string message) {
  return tl::unexpected(EditRefused{why, std::move(message)});
}

std::string_view kind_text(ServiceKind kind) {
  return kind == ServiceKind::kVip ? "vip" : kind == ServiceKind::kPool ? "pool" : "backend";
}

/// Addresses have many spellings, names one.
bool goes_by(const YamlNode& item, std::string_view name) {
  const std::string_view own = service_name(item);
  if (own == name) return true;
  if (item.find("name") != nullptr) return false;
  const auto address = IpAddress::parse(own);
  const auto wanted = IpAddress::parse(name);
  return address && wanted && *address == *wanted;
}

YamlNode* find_in(YamlNode& list, std::string_view name) {
  const auto found = std::find_if(list.items.begin(), list.items.end(),
                                  [&](const YamlNode& item) { return goes_by(item, name); });
  return found == list.items.end() ? nullptr : &*found;
}

YamlNode* list_of(YamlNode& map, std::string_view key) {
  for (YamlEntry& entry : map.entries) {
    if (entry.key.kind == YamlNode::Kind::kScalar && entry.key.text == key) {
      if (entry.value.kind == YamlNode::Kind::kNull) entry.value = yaml_list();
      return &entry.value;
    }
  }
  map.entries.push_back({yaml_scalar(std::string(key)), yaml_list()});
  return &map.entries.back().value;
}

EditRefused not_found(const ServicePath& path, const YamlNode& list) {
  std::vector<std::string_view> names;
  for (const YamlNode& item : list.items) names.push_back(service_name(item));
  const auto nearest = nearest_word(path.name, names);
  const std::string list_verb = path.kind == ServiceKind::kBackend
                                    ? fmt::format("backend list {}", path.pool)
                                    : fmt::format("{} list", kind_text(path.kind));
  return {Why::kNotFound,
          fmt::format("there is no {}{}; `sluicectl {}` shows those there are", path.text(),
                      nearest.empty() ? "" : fmt::format(", did you mean '{}'?", nearest), list_verb)};
}

/// The list that holds, or would hold, what `path` names.
tl::expected<YamlNode*, EditRefused> list_for(YamlNode& document, const ServicePath& path) {
  if (path.kind == ServiceKind::kVip) return list_of(document, "vips");
  YamlNode* pools = list_of(document, "pools");
  if (path.kind == ServiceKind::kPool) return pools;
  YamlNode* pool = find_in(*pools, path.pool);
  if (pool == nullptr) return tl::unexpected(not_found({ServiceKind::kPool, "", path.pool}, *pools));
  return list_of(*pool, "backends");
}

Edited check_map(const YamlNode& node, const ServicePath& path) {
  if (node.kind == YamlNode::Kind::kMap) return node;
  return refuse(Why::kInvalid, fmt::format("found {} for a {}; accepted: an object of its fields",
                                           found_text(node), kind_text(path.kind)));
}

/// Edits come with places in their body, which mean nothing in the document.
void forget_places(YamlNode& node) {
  node.place = {0, 0};
  for (YamlNode& item : node.items) forget_places(item);
  for (YamlEntry& entry : node.entries) {
    entry.key.place = {0, 0};
    forget_places(entry.value);
  }
}

void merge(YamlNode& into, const YamlNode& patch) {
  for (const YamlEntry& entry : patch.entries) {
    const YamlNode* present = into.find(entry.key.text);
    if (entry.value.kind == YamlNode::Kind::kNull) {
      yaml_erase(into, entry.key.text);
    } else if (entry.value.kind == YamlNode::Kind::kMap) {
      YamlNode merged = present != nullptr && present->kind == YamlNode::Kind::kMap ? *present : yaml_map();
      merge(merged, entry.value);
      yaml_set(into, entry.key.text, std::move(merged));
    } else {
      yaml_set(into, entry.key.text, entry.value);
    }
  }
}

/// Fields whose names are no texts, or come twice, have no meaning in a patch.
bool has_plain_fields(const YamlNode& map) {
  std::vector<std::string_view> names;
  for (const YamlEntry& entry : map.entries) {
    if (entry.key.kind != YamlNode::Kind::kScalar) return false;
    if (entry.value.kind == YamlNode::Kind::kMap && !has_plain_fields(entry.value)) return false;
    names.push_back(entry.key.text);
  }
  std::sort(names.begin(), names.end());
  return std::adjacent_find(names.begin(), names.end()) == names.end();
}

}  // namespace

std::string ServicePath::text() const {
  if (kind == ServiceKind::kBackend) return fmt::format("backend '{}' of pool '{}'", name, pool);
  return fmt::format("{} '{}'", kind_text(kind), name);
}

YamlNode services_of(const YamlNode& config) {
  YamlNode services = yaml_map();
  for (const std::string_view key : {"vips", "pools"}) {
    const YamlNode* found = config.find(key);
    const bool absent = found == nullptr || found->kind == YamlNode::Kind::kNull;
    yaml_set(services, key, absent ? yaml_list() : *found);
  }
  return services;
}

YamlNode with_services(YamlNode config, const YamlNode& services) {
  for (const std::string_view key : {"vips", "pools"}) {
    yaml_erase(config, key);
    if (const YamlNode* list = services.find(key)) yaml_set(config, key, *list);
  }
  return config;
}

std::string_view service_name(const YamlNode& item) {
  return yaml_text(item, item.find("name") != nullptr ? "name" : "address");
}

const YamlNode* find_service(const YamlNode& document, const ServicePath& path) {
  const auto find = [](const YamlNode* list, std::string_view name) -> const YamlNode* {
    if (list == nullptr) return nullptr;
    for (const YamlNode& item : list->items) {
      if (goes_by(item, name)) return &item;
    }
    return nullptr;
  };
  if (path.kind == ServiceKind::kVip) return find(document.find("vips"), path.name);
  if (path.kind == ServiceKind::kPool) return find(document.find("pools"), path.name);
  const YamlNode* pool = find(document.find("pools"), path.pool);
  return pool == nullptr ? nullptr : find(pool->find("backends"), path.name);
}

Edited add_service(YamlNode document, const ServicePath& path, YamlNode item) {
  auto list = list_for(document, path);
  if (!list) return tl::unexpected(list.error());
  if (auto map = check_map(item, path); !map) return map;
  const std::string name(service_name(item));
  if (!name.empty() && find_in(**list, name) != nullptr) {
    const ServicePath taken{path.kind, path.pool, name};
    return refuse(Why::kConflict, fmt::format("there is a {} already; `set` changes it", taken.text()));
  }
  forget_places(item);
  (*list)->items.push_back(std::move(item));
  return document;
}

Edited put_service(YamlNode document, const ServicePath& path, YamlNode item) {
  auto list = list_for(document, path);
  if (!list) return tl::unexpected(list.error());
  if (auto map = check_map(item, path); !map) return map;
  forget_places(item);
  const bool by_address =
      path.kind == ServiceKind::kBackend && item.find("name") == nullptr && goes_by(item, path.name);
  if (item.find("name") == nullptr && !by_address) {
    item.entries.insert(item.entries.begin(), {yaml_scalar("name"), yaml_scalar(path.name)});
  }
  if (!goes_by(item, path.name)) {
    return refuse(Why::kConflict, fmt::format("name: found '{}'; accepted: '{}', as in the path, or none",
                                              service_name(item), path.name));
  }
  if (YamlNode* present = find_in(**list, path.name)) {
    *present = std::move(item);
  } else {
    (*list)->items.push_back(std::move(item));
  }
  return document;
}

Edited patch_service(YamlNode document, const ServicePath& path, const YamlNode& patch) {
  auto list = list_for(document, path);
  if (!list) return tl::unexpected(list.error());
  YamlNode* present = find_in(**list, path.name);
  if (present == nullptr) return tl::unexpected(not_found(path, **list));
  auto map = check_map(patch, path);
  if (!map) return map;
  if (!has_plain_fields(*map)) {
    return refuse(Why::kInvalid,
                  "found a field twice, or one whose name is no text; accepted: each field once");
  }
  forget_places(*map);
  merge(*present, *map);
  return document;
}

Edited remove_service(YamlNode document, const ServicePath& path) {
  auto list = list_for(document, path);
  if (!list) return tl::unexpected(list.error());
  YamlNode* present = find_in(**list, path.name);
  if (present == nullptr) return tl::unexpected(not_found(path, **list));
  if (path.kind == ServiceKind::kPool) {
    std::string users;
    for (const YamlNode& vip : list_of(document, "vips")->items) {
      if (yaml_text(vip, "pool") == path.name) {
        users += fmt::format("{}{}", users.empty() ? "" : ", ", service_name(vip));
      }
    }
    if (!users.empty()) {
      return refuse(Why::kConflict, fmt::format("pool '{}' is used by vip {}; remove or change that first",
                                                path.name, users));
    }
    present = find_in(*list_of(document, "pools"), path.name);
    list = list_of(document, "pools");
  }
  (*list)->items.erase((*list)->items.begin() + (present - (*list)->items.data()));
  return document;
}

Edited replace_services(const YamlNode& whole) {
  const bool empty = whole.kind == YamlNode::Kind::kNull;
  if (!empty && whole.kind != YamlNode::Kind::kMap) {
    return refuse(Why::kInvalid,
                  fmt::format("found {}; accepted: a map of vips and pools", found_text(whole)));
  }
  for (const YamlEntry& entry : whole.entries) {
    const auto& key = entry.key.text;
    const bool known = key == "vips" || key == "pools";
    const auto same = [&](const YamlEntry& other) { return other.key.text == key; };
    if (known && std::count_if(whole.entries.begin(), whole.entries.end(), same) == 1) continue;
    if (known) return refuse(Why::kInvalid, fmt::format("{}: found twice; accepted: once", key));
    return refuse(
        Why::kInvalid,
        fmt::format("found {}; accepted: vips and pools only (the rest is changed in the configuration file, "
                    "and by a reload or restart)",
                    found_text(entry.key)));
  }
  YamlNode services = services_of(whole);
  forget_places(services);
  return services;
}

}  // namespace sluice
