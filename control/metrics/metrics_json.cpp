#include "control/metrics/metrics_json.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

/// Takes what stands before `delimiter` off the front of `text`, and the delimiter.
std::string_view take(std::string_view& text, char delimiter) {
  const std::string_view part = text.substr(0, text.find(delimiter));
  text.remove_prefix(std::min(text.size(), part.size() + 1));
  return part;
}

/// A label's value behind its opening quote, unescaped; the closing quote is taken off as well.
std::string take_value(std::string_view& text) {
  std::string value;
  while (!text.empty()) {
    const char c = text.front();
    text.remove_prefix(1);
    if (c == '"') break;
    if (c == '\\' && !text.empty()) {
      value += text.front() == 'n' ? '\n' : text.front();
      text.remove_prefix(1);
    } else {
      value += c;
    }
  }
  return value;
}

Json take_labels(std::string_view& text) {
  Json labels = Json::object();
  while (!text.empty() && text.front() != '}') {
    const std::string name(take(text, '='));
    if (text.empty()) break;
    text.remove_prefix(1);  // the quote
    labels[name] = take_value(text);
    if (text.starts_with(',')) text.remove_prefix(1);
  }
  if (!text.empty()) text.remove_prefix(1);
  return labels;
}

/// Whole numbers stay whole; what JSON has no number for ("+Inf") is a text.
Json number_of(std::string_view text) {
  uint64_t whole = 0;
  const char* end = text.data() + text.size();
  if (const auto parsed = std::from_chars(text.data(), end, whole); parsed.ptr == end && !text.empty())
    return whole;
  double number = 0;
  if (const auto parsed = std::from_chars(text.data(), end, number);
      parsed.ptr == end && parsed.ec == std::errc{} && number - number == 0) {
    return number;
  }
  return text;
}

Json sample_of(std::string_view line) {
  const size_t name_end = line.find_first_of("{ ");
  if (name_end == line.npos) return nullptr;
  Json sample{{"name", line.substr(0, name_end)}, {"labels", Json::object()}};
  const bool labelled = line[name_end] == '{';
  line.remove_prefix(name_end + 1);
  if (labelled) {
    sample["labels"] = take_labels(line);
    if (line.starts_with(' ')) line.remove_prefix(1);
  }
  sample["value"] = number_of(line);
  return sample;
}

}  // namespace

std::string metrics_json(std::string_view exposition, std::string_view name_part) {
  Json metrics = Json::array();
  while (!exposition.empty()) {
    std::string_view line = take(exposition, '\n');
    if (line.starts_with("# HELP ")) {
      line.remove_prefix(7);
      const std::string name(take(line, ' '));
      metrics.push_back({{"name", name}, {"kind", ""}, {"help", line}, {"samples", Json::array()}});
    } else if (line.starts_with("# TYPE ")) {
      line.remove_prefix(7);
      take(line, ' ');
      if (!metrics.empty()) metrics.back()["kind"] = line;
    } else if (!metrics.empty()) {
      if (Json sample = sample_of(line); !sample.is_null())
        metrics.back()["samples"].push_back(std::move(sample));
    }
  }
  Json wanted = Json::array();
  for (Json& metric : metrics) {
    if (metric["name"].get_ref<const std::string&>().find(name_part) != std::string::npos)
      wanted.push_back(std::move(metric));
  }
  return wanted.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace sluice
