// What routing looks at of a request: views into it, nothing is copied.
#pragma once

#include <span>
#include <string_view>

namespace sluice {

struct HeaderView {
  std::string_view name;  ///< in lower case
  std::string_view value;
};

struct RouteRequest {
  std::string_view authority;  ///< :authority, or Host
  std::string_view method;
  std::string_view path;  ///< with its query, as in :path
  std::string_view scheme = "http";
  std::span<const HeaderView> headers;  ///< without pseudo-header fields
};

/// Both parts of a :path; the query without its question mark.
struct PathParts {
  std::string_view path;
  std::string_view query;
  bool has_query = false;
};
inline PathParts split_path(std::string_view path) {
  const size_t question = path.find('?');
  if (question == std::string_view::npos) return {path, {}, false};
  return {path.substr(0, question), path.substr(question + 1), true};
}

}  // namespace sluice
