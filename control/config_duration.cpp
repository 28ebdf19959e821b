#include "control/config_duration.h"

#include <algorithm>

namespace sluice {

namespace {

Result<std::chrono::seconds> parse_duration(std::string_view text, const ConfigField& field) {
  if (text.empty()) return fail("");
  const uint64_t unit = text.back() == 's' ? 1 : text.back() == 'm' ? 60 : text.back() == 'h' ? 3600 : 0;
  if (unit == 0) return fail("");
  const auto count = parse_decimal<uint32_t>(text.substr(0, text.size() - 1));
  if (!count || *count * unit < field.min || *count * unit > field.max) return fail("");
  return std::chrono::seconds(*count * unit);
}

/// "250ms", "2s", "1m"; the table's range is in milliseconds.
Result<std::chrono::milliseconds> parse_milliseconds(std::string_view text, const ConfigField& field) {
  const auto digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string_view unit = text.substr(digits);
  const uint64_t factor = unit == "ms" ? 1 : unit == "s" ? 1000 : unit == "m" ? 60'000 : 0;
  const auto count = parse_decimal<uint32_t>(text.substr(0, digits));
  if (factor == 0 || !count || *count * factor < field.min || *count * factor > field.max) return fail("");
  return std::chrono::milliseconds(*count * factor);
}

}  // namespace

void read_seconds(const ConfigSection& section, std::string_view key, std::chrono::seconds& into) {
  section.value(key, into,
                [&](const std::string& text) { return parse_duration(text, section.table_field(key)); });
}

void read_milliseconds(const ConfigSection& section, std::string_view key, std::chrono::milliseconds& into) {
  section.value(key, into,
                [&](const std::string& text) { return parse_milliseconds(text, section.table_field(key)); });
}

}  // namespace sluice
