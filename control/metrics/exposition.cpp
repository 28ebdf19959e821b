#include "control/metrics/exposition.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

namespace sluice {

namespace {

/// Backslash and line feed are escaped everywhere, quotes in label values only.
void append_escaped(std::string& text, std::string_view value, bool quoted) {
  for (const char c : value) {
    if (c == '\\') {
      text += "\\\\";
    } else if (c == '\n') {
      text += "\\n";
    } else if (c == '"' && quoted) {
      text += "\\\"";
    } else {
      text += c;
    }
  }
}

void append_number(std::string& text, double value) {
  if (std::isnan(value)) {
    text += "NaN";
  } else if (std::isinf(value)) {
    text += value > 0 ? "+Inf" : "-Inf";
  } else {
    fmt::format_to(std::back_inserter(text), "{}", value);
  }
}

void append_number(std::string& text, uint64_t value) {
  const fmt::format_int digits(value);
  text.append(digits.data(), digits.size());
}

}  // namespace

std::string_view metric_kind_name(MetricKind kind) {
  switch (kind) {
    case MetricKind::kCounter:
      return "counter";
    case MetricKind::kGauge:
      return "gauge";
    case MetricKind::kHistogram:
      break;
  }
  return "histogram";
}

std::string label_set(std::initializer_list<std::pair<std::string_view, std::string_view>> labels) {
  std::string text;
  for (const auto& [name, value] : labels) {
    if (!text.empty()) text += ',';
    text += name;
    text += "=\"";
    append_escaped(text, value, true);
    text += '"';
  }
  return text;
}

void Exposition::begin(const Metric& metric) {
  name_ = metric.name;
  text_ += "# HELP ";
  text_ += name_;
  text_ += ' ';
  append_escaped(text_, metric.help, false);
  text_ += "\n# TYPE ";
  text_ += name_;
  text_ += ' ';
  text_ += metric_kind_name(metric.kind);
  text_ += '\n';
}

void Exposition::head(std::string_view suffix, std::string_view labels) {
  text_ += name_;
  text_ += suffix;
  if (!labels.empty()) {
    text_ += '{';
    text_ += labels;
    text_ += '}';
  }
  text_ += ' ';
}

void Exposition::sample(std::string_view labels, uint64_t value) {
  head({}, labels);
  append_number(text_, value);
  text_ += '\n';
}

void Exposition::sample(std::string_view labels, double value) {
  head({}, labels);
  append_number(text_, value);
  text_ += '\n';
}

void Exposition::histogram(std::string_view labels, std::span<const double> bounds,
                           std::span<const uint64_t> counts, double sum) {
  uint64_t total = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    total += counts[i];
    std::string bucket(labels);
    if (!bucket.empty()) bucket += ',';
    bucket += "le=\"";
    append_number(bucket, i < bounds.size() ? bounds[i] : INFINITY);
    bucket += '"';
    head("_bucket", bucket);
    append_number(text_, total);
    text_ += '\n';
  }
  head("_sum", labels);
  append_number(text_, sum);
  text_ += '\n';
  head("_count", labels);
  append_number(text_, total);
  text_ += '\n';
}

}  // namespace sluice
