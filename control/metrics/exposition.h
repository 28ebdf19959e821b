// The text format that Prometheus scrapes (exposition format 0.0.4), as a writer into one string. Pure: what
// the numbers are and where the text goes is the caller's.
//
//   Exposition text;
//   text.begin(kPackets);                                  // # HELP, # TYPE
//   text.sample(label_set({{"vip", name}}), uint64_t{7});  // sluice_vip_packets_total{vip="web"} 7
//
// All samples of a metric stand together, as the format wants it.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace sluice {

enum class MetricKind : uint8_t { kCounter, kGauge, kHistogram };

/// "counter", "gauge", "histogram"
std::string_view metric_kind_name(MetricKind kind);

/// One metric as it is documented. Names are Prometheus': base units, `_total` behind counters.
struct Metric {
  std::string_view name;
  MetricKind kind;
  std::string_view labels;  ///< their names with ", " between; "" if there are none
  std::string_view help;    ///< one sentence
};

/// `pool="web",backend="b1"`: values escaped, names taken as they are. Worth keeping where the same labels
/// are written again and again.
std::string label_set(std::initializer_list<std::pair<std::string_view, std::string_view>> labels);

class Exposition {
 public:
  /// Writes the lines that introduce `metric`, which must outlive the samples that follow.
  void begin(const Metric& metric);

  /// One sample of the metric begun last; `labels` as of label_set(), or "".
  void sample(std::string_view labels, uint64_t value);
  void sample(std::string_view labels, double value);

  /// One histogram of the metric begun last. `bounds` are the upper bounds of the buckets, ascending, without
  /// infinity; `counts` has one more, each count of its bucket alone; `sum` is that of all observations.
  void histogram(std::string_view labels, std::span<const double> bounds, std::span<const uint64_t> counts,
                 double sum);

  void reserve(size_t bytes) { text_.reserve(bytes); }
  std::string take() { return std::move(text_); }

 private:
  void head(std::string_view suffix, std::string_view labels);

  std::string text_;
  std::string_view name_;
};

}  // namespace sluice
