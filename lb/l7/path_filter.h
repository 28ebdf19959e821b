// Tells of most routes, in a nanosecond each, that a path cannot be theirs: the first 16 bytes are compared
// as two words. Only what passes is asked in full. Two to a cache line, in the order of the routes.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "lb/l7/route_config.h"

namespace sluice {

/// The first bytes of a path, zeros behind it.
struct PathHead {
  explicit PathHead(std::string_view path) {
    std::memcpy(words.data(), path.data(), std::min(path.size(), sizeof words));
  }
  std::array<uint64_t, 2> words{};
};

class PathFilter {
 public:
  explicit PathFilter(const PathMatch& match) {
    if (match.kind == PathMatchKind::kRegex || match.ignore_case) return;  // lets everything pass
    std::string_view value = match.value;
    if (match.kind == PathMatchKind::kSegments && value.ends_with('/')) value.remove_suffix(1);
    const size_t size = std::min(value.size(), sizeof head_);
    std::memcpy(head_.data(), value.data(), size);
    std::memset(mask_.data(), 0xff, size);
  }
  /// False: the path does not match. True: it may.
  bool passes(const PathHead& path) const {
    return (((path.words[0] & mask_[0]) ^ head_[0]) | ((path.words[1] & mask_[1]) ^ head_[1])) == 0;
  }

 private:
  std::array<uint64_t, 2> head_{};
  std::array<uint64_t, 2> mask_{};
};
static_assert(sizeof(PathFilter) == 32, "two to a cache line");

}  // namespace sluice
