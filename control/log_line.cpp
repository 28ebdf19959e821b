#include "control/log_line.h"

#include <fmt/format.h>

#include <algorithm>

namespace sluice {

namespace {

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

}  // namespace

std::string log_quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (c == '\n') {
      result += "\\n";
    } else {
      result += is_control(c) ? '?' : c;
    }
  }
  return result + '"';
}

std::vector<std::pair<std::string, std::string>> log_fields(std::string_view line) {
  std::vector<std::pair<std::string, std::string>> fields;
  while (!line.empty()) {
    const size_t end = line.find_first_of(" =");
    if (end == line.npos) break;
    const std::string_view key = line.substr(0, end);
    const bool has_value = line[end] == '=';
    line.remove_prefix(end + 1);
    if (!has_value || key.empty()) continue;
    std::string value;
    if (!line.empty() && line.front() == '"') {
      size_t at = 1;
      for (; at < line.size() && line[at] != '"'; ++at) {
        const bool escaped = line[at] == '\\' && at + 1 < line.size();
        if (escaped) ++at;
        value += escaped && line[at] == 'n' ? '\n' : line[at];
      }
      line.remove_prefix(std::min(at + 1, line.size()));
    } else {
      value = line.substr(0, line.find(' '));
      line.remove_prefix(value.size());
    }
    fields.emplace_back(key, std::move(value));
  }
  return fields;
}

std::string_view log_kind(std::string_view line) {
  constexpr std::string_view kEvent = "event=";
  if (!line.starts_with(kEvent)) return {};
  line.remove_prefix(kEvent.size());
  return line.substr(0, line.find(' '));
}

std::string journal_message(std::string_view program, int priority, std::string_view line) {
  std::string text =
      fmt::format("PRIORITY={}\nSYSLOG_IDENTIFIER={}\nMESSAGE={}\n", priority, program, one_line(line));
  for (const auto& [key, value] : log_fields(line)) {
    std::string name = "SLUICE_";
    for (const char c : key) {
      const bool letter = c >= 'a' && c <= 'z';
      const bool digit = c >= '0' && c <= '9';
      name += letter ? static_cast<char>(c - 'a' + 'A') : digit ? c : '_';
    }
    text += fmt::format("{}={}\n", name, one_line(value));
  }
  return text;
}

std::string one_line(std::string_view line) {
  std::string result(line);
  std::replace_if(result.begin(), result.end(), is_control, ' ');
  return result;
}

}  // namespace sluice
