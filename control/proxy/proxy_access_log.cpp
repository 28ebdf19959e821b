#include "control/proxy/proxy_access_log.h"

#include <charconv>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "control/config_duration.h"

namespace sluice {
namespace {

using l7::AccessFormat;

Result<std::string> parse_target(const std::string& text) {
  if (text == "stdout" || text == "stderr" || text == "off" || text.starts_with('/')) return text;
  return fail("");
}

// In millionths.
Result<uint32_t> parse_percent(const std::string& text) {
  double percent = 0;
  const char* end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, percent, std::chars_format::fixed);
  if (error != std::errc{} || last != end || !(percent >= 0 && percent <= 100)) return fail("");
  return static_cast<uint32_t>(std::lround(percent * (l7::AccessLogFilter::kAll / 100)));
}

Result<AccessFormat> parse_format(const std::string& text) {
  return text == "json" ? AccessFormat::json(AccessFormat::default_members()) : AccessFormat::text(text);
}

void read_json(const ConfigSection& section, const YamlNode& node, AccessFormat& format) {
  std::vector<std::pair<std::string, std::string>> members;
  for (const YamlEntry& entry : node.entries) {
    const bool scalars =
        entry.key.kind == YamlNode::Kind::kScalar && entry.value.kind == YamlNode::Kind::kScalar;
    if (!scalars) {
      section.refuse(entry.key, "json", "a member that is not a name with a format");
      return;
    }
    for (const auto& [name, text] : members) {
      if (name == entry.key.text) section.refuse(entry.key, "json", "a second member of this name");
    }
    const std::pair<std::string, std::string> member{entry.key.text, entry.value.text};
    // Each by itself, so that the error has the place of its line.
    if (const auto alone = AccessFormat::json({&member, 1}); !alone) {
      section.refuse(entry.value, "json", alone.error().message);
      return;
    }
    members.push_back(member);
  }
  auto made = AccessFormat::json(members);
  if (!made) {
    section.refuse(node, "json", made.error().message);
  } else {
    format = *std::move(made);
  }
}

}  // namespace

std::shared_ptr<const l7::AccessLog> read_access_log(const ConfigSection& section) {
  if (section.node() == nullptr) return nullptr;
  auto log = std::make_shared<l7::AccessLog>();
  section.value("to", log->to, parse_target);
  log->format = *AccessFormat::text(AccessFormat::kDefaultText);
  section.value("format", log->format, parse_format);
  if (const YamlNode* json = section.find("json")) {
    if (section.find("format") != nullptr)
      section.report(*json, "json", "found beside format; accepted: one of format and json");
    read_json(section, *json, log->format);
  }
  section.value("sample_percent", log->filter.sample_per_million, parse_percent);
  section.flag("always_failed", log->filter.always_failed);
  std::chrono::milliseconds slower{0};
  read_milliseconds(section, "always_slower_than", slower);
  if (slower.count() != 0) log->filter.always_slower_than = slower;
  return log->to == "off" ? nullptr : log;
}

}  // namespace sluice
