#include "control/proxy/envoy_document.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "control/proxy/envoy_fields.h"

namespace sluice {
namespace {

constexpr std::string_view kType = "@type";

/// "connectTimeout" as "connect_timeout". A name with dots is the key of a map, and stays.
std::string snake_case(std::string_view name) {
  if (name.find('.') != std::string_view::npos) return std::string(name);
  std::string snake;
  for (const char c : name) {
    if (c >= 'A' && c <= 'Z') {
      snake += '_';
      snake += static_cast<char>(c - 'A' + 'a');
    } else {
      snake += c;
    }
  }
  return snake;
}

/// A whole number that may be written "5", "5.0" or "5e3", as JSON may.
std::optional<uint64_t> parse_whole(std::string_view text) {
  if (const auto plain = parse_decimal<uint64_t>(text)) return plain;
  double value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size()) return std::nullopt;
  constexpr double kMax = 9e15;  // whole numbers up to here are exact
  if (!(value >= 0 && value <= kMax) || value != static_cast<double>(static_cast<uint64_t>(value)))
    return std::nullopt;
  return static_cast<uint64_t>(value);
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
  constexpr uint64_t kMaxSeconds = 86'400;
  if (!text.ends_with('s')) return std::nullopt;
  text.remove_suffix(1);
  const size_t dot = text.find('.');
  const auto seconds = parse_decimal<uint64_t>(text.substr(0, dot));
  if (!seconds || *seconds > kMaxSeconds) return std::nullopt;
  uint64_t nanoseconds = 0;
  if (dot != std::string_view::npos) {
    const std::string_view digits = text.substr(dot + 1);
    if (digits.empty() || digits.size() > 9) return std::nullopt;
    uint64_t unit = 100'000'000;
    for (const char c : digits) {
      if (c < '0' || c > '9') return std::nullopt;
      nanoseconds += static_cast<uint64_t>(c - '0') * unit;
      unit /= 10;
    }
  }
  return std::chrono::milliseconds(*seconds * 1000 + (nanoseconds + 999'999) / 1'000'000);
}

}  // namespace

EnvoyMessage::EnvoyMessage(EnvoyReport& report, const YamlNode* node, std::string path, std::string_view type)
    : report_(&report), node_(node), path_(std::move(path)), type_(type) {
  if (node_ == nullptr || node_->kind == YamlNode::Kind::kNull) {
    node_ = nullptr;
    return;
  }
  if (node_->kind != YamlNode::Kind::kMap) {
    report_->errors.add(node_->place,
                        fmt::format("{}: found {}; accepted: a map", path_, found_text(*node_)));
    node_ = nullptr;
    return;
  }
  check_fields();
}

void EnvoyMessage::check_fields() const {
  std::set<std::string> seen;
  for (const YamlEntry& entry : node_->entries) {
    const YamlNode& key = entry.key;
    if (key.kind != YamlNode::Kind::kScalar) {
      report_->errors.add(key.place,
                          fmt::format("{}: found {} as the name of a field", path_, found_text(key)));
      continue;
    }
    if (key.text == kType) continue;
    std::string name = snake_case(key.text);
    const EnvoyField* field = find_envoy_field(type_, name);
    if (field == nullptr) {
      refuse_unknown(key, name);
    } else if (!seen.insert(name).second) {
      report_->errors.add(key.place, fmt::format("{}: found a second time", path_to(name)));
    } else if (field->use == EnvoyField::Use::kIgnored && entry.value.kind != YamlNode::Kind::kNull) {
      warn(key, name, fmt::format("not used: {}", field->notes));
    }
  }
}

void EnvoyMessage::refuse_unknown(const YamlNode& key, std::string_view name) const {
  std::vector<std::string_view> known;
  for (const EnvoyField& field : envoy_fields()) {
    if (field.message == type_) known.push_back(field.field);
  }
  const std::string_view nearest = nearest_word(name, known);
  report_->errors.add(
      key.place,
      fmt::format("{}: not supported: sluice-proxy has nothing like it{}; accepted: {} without this field",
                  path_to(key.text), nearest.empty() ? "" : fmt::format(", or did you mean '{}'?", nearest),
                  type_));
}

const YamlNode* EnvoyMessage::find(std::string_view field) const {
  report_->read.insert(fmt::format("{}.{}", type_, field));
  if (node_ == nullptr) return nullptr;
  for (const YamlEntry& entry : node_->entries) {
    if (entry.key.kind != YamlNode::Kind::kScalar || snake_case(entry.key.text) != field) continue;
    return entry.value.kind == YamlNode::Kind::kNull ? nullptr : &entry.value;
  }
  return nullptr;
}

const YamlNode* EnvoyMessage::text(std::string_view field, std::string& into) const {
  const YamlNode* found = find(field);
  if (found == nullptr) return nullptr;
  if (found->kind != YamlNode::Kind::kScalar) {
    refuse(*found, field, "accepted: a single value");
    return nullptr;
  }
  into = found->text;
  return found;
}

const YamlNode* EnvoyMessage::flag(std::string_view field, bool& into) const {
  return choice<bool>(field, into, {{"true", true}, {"false", false}});
}

const YamlNode* EnvoyMessage::whole(std::string_view field, uint64_t min, uint64_t max,
                                    uint64_t& into) const {
  std::string written;
  const YamlNode* found = text(field, written);
  if (found == nullptr) return nullptr;
  const auto value = parse_whole(written);
  if (!value || *value < min || *value > max) {
    refuse(*found, field, fmt::format("accepted: a whole number from {} to {}", min, max));
    return nullptr;
  }
  into = *value;
  return found;
}

const YamlNode* EnvoyMessage::duration(std::string_view field, std::chrono::milliseconds& into) const {
  std::string written;
  const YamlNode* found = text(field, written);
  if (found == nullptr) return nullptr;
  const auto value = parse_duration(written);
  if (!value) {
    refuse(*found, field, "accepted: seconds with an s behind them, such as 0.25s or 15s, at most 86400s");
    return nullptr;
  }
  into = *value;
  return found;
}

const YamlNode* EnvoyMessage::percent(std::string_view field, double& into) const {
  const EnvoyMessage holder = message(field, "Percent");
  std::string written;
  const YamlNode* found = holder.text("value", written);
  // A message without its value is 0, as protobuf has it.
  if (found == nullptr) {
    if (holder.present()) into = 0;
    return holder.node();
  }
  double value = 0;
  const auto parsed = std::from_chars(written.data(), written.data() + written.size(), value);
  if (parsed.ec != std::errc{} || parsed.ptr != written.data() + written.size() ||
      !(value >= 0 && value <= 100)) {
    holder.refuse(*found, "value", "accepted: a number from 0 to 100");
    return nullptr;
  }
  into = value;
  return found;
}

std::vector<const YamlNode*> EnvoyMessage::texts(std::string_view field) const {
  std::vector<const YamlNode*> result;
  const YamlNode* found = find(field);
  if (found == nullptr) return result;
  if (found->kind != YamlNode::Kind::kList) {
    refuse(*found, field, "accepted: a list");
    return result;
  }
  for (const YamlNode& item : found->items) {
    if (item.kind == YamlNode::Kind::kScalar) {
      result.push_back(&item);
    } else {
      refuse(item, field, "accepted: single values");
    }
  }
  return result;
}

EnvoyMessage EnvoyMessage::child(const YamlNode* node, std::string path, std::string_view type) const {
  return {*report_, node, std::move(path), type};
}

EnvoyMessage EnvoyMessage::message(std::string_view field, std::string_view type) const {
  return child(find(field), path_to(field), type);
}

std::vector<EnvoyMessage> EnvoyMessage::messages(std::string_view field, std::string_view type) const {
  std::vector<EnvoyMessage> result;
  const YamlNode* found = find(field);
  if (found == nullptr) return result;
  if (found->kind != YamlNode::Kind::kList) {
    refuse(*found, field, "accepted: a list");
    return result;
  }
  for (size_t i = 0; i < found->items.size(); ++i) {
    EnvoyMessage item = child(&found->items[i], fmt::format("{}[{}]", path_to(field), i), type);
    if (item.present()) result.push_back(std::move(item));
  }
  return result;
}

std::string EnvoyMessage::type_url(std::string_view field) const {
  const YamlNode* found = find(field);
  const YamlNode* type = found == nullptr ? nullptr : found->find(kType);
  if (type == nullptr || type->kind != YamlNode::Kind::kScalar) return "";
  return type->text.substr(type->text.rfind('/') + 1);
}

EnvoyMessage EnvoyMessage::typed(std::string_view field, std::string_view package,
                                 std::string_view type) const {
  const YamlNode* found = find(field);
  if (found == nullptr) return child(nullptr, path_to(field), type);
  const std::string wanted = fmt::format("{}.{}", package, type);
  if (type_url(field) == wanted) return child(found, path_to(field), type);
  const YamlNode* given = found->find(kType);
  const YamlNode name{.kind = YamlNode::Kind::kScalar, .text = type_url(field)};
  report(given == nullptr ? *found : *given, field,
         fmt::format("found {}; accepted: @type type.googleapis.com/{}",
                     given == nullptr ? "no @type" : "@type " + found_text(name), wanted));
  return child(nullptr, path_to(field), type);
}

std::string_view EnvoyMessage::one_of(std::initializer_list<std::string_view> fields) const {
  std::string_view chosen;
  for (const std::string_view field : fields) {
    const YamlNode* found = find(field);
    if (found == nullptr) continue;
    if (chosen.empty()) {
      chosen = field;
    } else {
      report(*found, field, fmt::format("found beside {}; accepted: one of both", chosen));
    }
  }
  return chosen;
}

const YamlNode* EnvoyMessage::require(std::string_view field) const {
  const YamlNode* found = find(field);
  if (found == nullptr && node_ != nullptr)
    report(*node_, field, "found nothing; Envoy wants this field, and so does sluice-proxy");
  return found;
}

std::string EnvoyMessage::path_to(std::string_view field) const {
  return path_.empty() || field.empty() ? path_ + std::string(field) : fmt::format("{}.{}", path_, field);
}

void EnvoyMessage::refuse(const YamlNode& at, std::string_view field, std::string_view reason) const {
  report(at, field, fmt::format("found {}; {}", found_text(at), reason));
}

void EnvoyMessage::report(const YamlNode& at, std::string_view field, std::string_view text) const {
  report_->errors.add(at.place, fmt::format("{}: {}", path_to(field), text));
}

void EnvoyMessage::warn(const YamlNode& at, std::string_view field, std::string_view text) const {
  report_->warnings.emplace_back(at.place, fmt::format("{}: {}", path_to(field), text));
}

}  // namespace sluice
