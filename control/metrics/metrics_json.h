// Metrics as JSON: the same numbers under the same names as in Prometheus' text, for those who ask the API.
#pragma once

#include <string>
#include <string_view>

namespace sluice {

/// [{"name", "kind", "help", "samples": [{"name", "labels": {...}, "value"}, ...]}, ...] from a text that
/// Exposition has written. Of histograms each sample has a name of its own (_bucket, _sum, _count). A line
/// that is none of the format is left out. `name_part`: only metrics whose names have it in them.
std::string metrics_json(std::string_view exposition, std::string_view name_part = {});

}  // namespace sluice
