#include "control/config_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <stdexcept>

namespace sluice {

std::string ConfigProblems::render(std::string_view filename) const {
  auto sorted = problems_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const YamlError& a, const YamlError& b) {
    return std::pair(a.place.line, a.place.column) < std::pair(b.place.line, b.place.column);
  });
  std::string text;
  for (size_t i = 0; i < std::min(sorted.size(), kMaxLines); ++i) {
    if (i > 0) text += '\n';
    const auto& [place, message] = sorted[i];
    text +=
        place.line > 0 ? fmt::format("{}:{}:{}: {}", filename, place.line, place.column, message) : message;
  }
  if (sorted.size() > kMaxLines) {
    text += fmt::format("\n{}: and {} more errors", filename, sorted.size() - kMaxLines);
  }
  return text;
}

std::string in_line(YamlPlace place) {
  return place.line > 0 ? fmt::format(" in line {}", place.line) : "";
}

std::string found_text(const YamlNode& node) {
  constexpr size_t kLongest = 60;
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return "nothing";
    case YamlNode::Kind::kList:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a map";
    case YamlNode::Kind::kScalar:
      break;
  }
  std::string text = node.text.substr(0, kLongest);
  // An error is one line on a terminal, whatever the file holds: escapes ("\n", "\e") can be in quoted text.
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return fmt::format("'{}{}'", text, node.text.size() > kLongest ? "..." : "");
}

ConfigSection::ConfigSection(ConfigProblems& problems, const YamlNode* node, std::string path,
                             std::string schema, const ConfigTable& table)
    : problems_(&problems), table_(&table), node_(node), path_(std::move(path)), schema_(std::move(schema)) {
  if (node_ == nullptr) return;
  if (node_->kind == YamlNode::Kind::kList || node_->kind == YamlNode::Kind::kScalar) {
    report(*node_, {}, fmt::format("found {}; accepted: a map", found_text(*node_)));
    node_ = nullptr;
    return;
  }
  check_keys();
}

void ConfigSection::check_keys() const {
  std::map<std::string_view, YamlPlace> seen;
  for (const YamlEntry& entry : node_->entries) {
    if (entry.key.kind != YamlNode::Kind::kScalar) {
      report(entry.key, {},
             fmt::format("found {} as the name of a field; accepted: a text", found_text(entry.key)));
      continue;
    }
    if (table_->find(schema_of(entry.key.text)) == nullptr) {
      refuse_unknown(entry.key);
      continue;
    }
    const auto [first, is_new] = seen.emplace(entry.key.text, entry.key.place);
    if (!is_new) {
      report(entry.key, entry.key.text,
             fmt::format("found twice, first{}; accepted: once",
                         first->second.line > 0 ? in_line(first->second) : " just before"));
    }
  }
  for (const ConfigField* field : table_->of(schema_)) {
    if (field->is_required() && find(config_field_key(*field)) == nullptr) {
      report(*node_, config_field_key(*field),
             fmt::format("found nothing; accepted: {}", field->accepted_text()));
    }
  }
}

void ConfigSection::refuse_unknown(const YamlNode& key) const {
  std::vector<std::string_view> known;
  for (const ConfigField* field : table_->of(schema_)) known.push_back(config_field_key(*field));
  const auto nearest = nearest_word(key.text, known);
  report(key, {},
         fmt::format("found unknown field {}{}; accepted: {}", found_text(key),
                     nearest.empty() ? "" : fmt::format(", did you mean '{}'?", nearest),
                     fmt::join(known, ", ")));
}

const YamlNode* ConfigSection::flag(std::string_view key, bool& into) const {
  return choice<bool>(key, into, {{"true", true}, {"false", false}});
}

ConfigSection ConfigSection::section(std::string_view key) const {
  return ConfigSection(*problems_, find(key), path_to(key), schema_of(key), *table_);
}

std::vector<ConfigSection> ConfigSection::sections(std::string_view key) const {
  std::vector<ConfigSection> result;
  const YamlNode* list = find(key);
  if (list == nullptr || list->kind == YamlNode::Kind::kNull) return result;
  if (list->kind != YamlNode::Kind::kList) {
    refuse(*list, key);
    return result;
  }
  result.reserve(list->items.size());
  for (size_t i = 0; i < list->items.size(); ++i) {
    // People find an item of a file by its place, and one of an API's edit by its name.
    const YamlNode& item = list->items[i];
    const YamlNode* name = item.place.line == 0 ? item.find("name") : nullptr;
    const bool by_name = name != nullptr && name->kind == YamlNode::Kind::kScalar && name->text.size() <= 63;
    result.emplace_back(
        *problems_, &item,
        by_name ? fmt::format("{}[{}]", path_to(key), name->text) : fmt::format("{}[{}]", path_to(key), i),
        schema_of(key) + "[]", *table_);
  }
  return result;
}

std::optional<std::vector<const YamlNode*>> ConfigSection::scalars(std::string_view key) const {
  const YamlNode* list = find(key);
  if (list == nullptr) return std::nullopt;
  std::vector<const YamlNode*> result;
  if (list->kind != YamlNode::Kind::kList) {
    refuse(*list, key);
    return std::nullopt;
  }
  for (const YamlNode& item : list->items) {
    if (item.kind == YamlNode::Kind::kScalar) {
      result.push_back(&item);
    } else {
      refuse(item, key);
    }
  }
  return result;
}

const YamlNode* ConfigSection::scalar(std::string_view key) const {
  const YamlNode* found = find(key);
  if (found == nullptr) return nullptr;
  if (found->kind != YamlNode::Kind::kScalar) {
    refuse(*found, key);
    return nullptr;
  }
  return found;
}

void ConfigSection::refuse(const YamlNode& at, std::string_view key, std::string_view reason) const {
  const ConfigField& field = table_field(key);
  const bool hidden = field.secret && at.kind == YamlNode::Kind::kScalar && !at.text.empty();
  report(at, key,
         fmt::format("found {}{}{}; accepted: {}",
                     hidden ? fmt::format("a secret of {} bytes", at.text.size()) : found_text(at),
                     reason.empty() ? "" : ": ", reason, field.accepted_text()));
}

void ConfigSection::report(const YamlNode& at, std::string_view key, std::string_view message) const {
  const std::string path = key.empty() ? path_ : path_to(key);
  problems_->add(at.place, path.empty() ? std::string(message) : fmt::format("{}: {}", path, message));
}

std::string ConfigSection::path_to(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

std::string ConfigSection::schema_of(std::string_view key) const {
  return schema_.empty() ? std::string(key) : fmt::format("{}.{}", schema_, key);
}

const ConfigField& ConfigSection::table_field(std::string_view key) const {
  const ConfigField* field = table_->find(schema_of(key));
  if (field == nullptr) throw std::logic_error("no such field in the table: " + schema_of(key));
  return *field;
}

namespace {

/// The least number of letters inserted, left out, replaced or exchanged with a neighbour (optimal string
/// alignment distance).
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1);
  std::vector<size_t> last(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    std::vector<size_t> row(b.size() + 1, i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({replaced, last[j] + 1, row[j - 1] + 1});
      const bool exchanged = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (exchanged) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before = std::exchange(last, std::move(row));
  }
  return last[b.size()];
}

}  // namespace

std::string_view nearest_word(std::string_view text, const std::vector<std::string_view>& candidates) {
  // No name of ours is longer, and nobody reads a suggestion out of thousands; the work grows with both.
  constexpr size_t kLongest = 64;
  constexpr size_t kMostCandidates = 1000;
  if (text.size() > kLongest || candidates.size() > kMostCandidates) return {};
  std::string_view nearest;
  size_t nearest_distance = std::max<size_t>(1, text.size() / 3) + 1;
  for (const auto candidate : candidates) {
    if (candidate.size() > kLongest) continue;
    const size_t distance = edit_distance(text, candidate);
    if (distance < nearest_distance) {
      nearest = candidate;
      nearest_distance = distance;
    }
  }
  return nearest;
}

}  // namespace sluice
