// The conditions of one route, ready to be asked.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lb/l7/route_config.h"
#include "lb/l7/route_request.h"

namespace sluice {

/// The first condition that a request does not meet.
struct Mismatch {
  enum class Condition : uint8_t { kPath, kMethod, kGrpc, kHeader, kQuery };
  Condition condition;
  uint32_t index = 0;  ///< of kHeader and kQuery: which
};

class RouteMatcher {
 public:
  /// Errors say which condition is wrong and why.
  static Result<RouteMatcher> build(const RouteMatch& match);

  /// Nothing if the request meets all conditions. Allocates nothing.
  std::optional<Mismatch> first_mismatch(const RouteRequest& request, const PathParts& path) const;
  /// For people: "header 'x-user' must be there".
  std::string describe(const Mismatch& mismatch) const;
  /// All its conditions in those words; none if any request will do.
  std::vector<std::string> conditions() const;

  /// How many bytes of a path that matches the path condition stands for: what a new prefix replaces. All of
  /// them for kExact and kRegex.
  size_t matched_prefix(std::string_view path) const;

 private:
  struct Named {
    std::string name;
    TextMatcher text;
  };
  bool path_matches(std::string_view path) const;
  bool method_matches(std::string_view method) const;
  bool grpc_matches(const RouteRequest& request, std::string_view path) const;
  static bool header_matches(const Named& header, const RouteRequest& request);
  static bool parameter_matches(const Named& parameter, std::string_view query);
  static Result<std::vector<Named>> build_named(const std::vector<NamedMatch>& matches, const char* what,
                                                bool lower);

  RouteMatch match_;
  std::optional<Regex> path_;
  std::vector<Named> headers_;
  std::vector<Named> query_;
};

}  // namespace sluice
