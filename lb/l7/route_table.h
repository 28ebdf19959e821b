// Finds the route of a request: built once from a RouteConfig, then immutable and shared by all workers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lb/l7/path_filter.h"
#include "lb/l7/random.h"
#include "lb/l7/route_config.h"
#include "lb/l7/route_matcher.h"
#include "lb/l7/virtual_host_index.h"

namespace sluice {

/// A route that a request matched. Lives as long as its table.
class MatchedRoute {
 public:
  const Route& route() const { return route_; }
  const std::string& virtual_host() const { return virtual_host_; }
  /// Its place among all routes of the table, as for_each_route() visits them.
  uint32_t index() const { return index_; }
  /// What a request must be like, in words; none: any.
  std::vector<std::string> conditions() const { return matcher_.conditions(); }

  /// Whether and where it is forwarded: an index into the names of clusters that the table was built with,
  /// drawn in proportion to weights.
  bool forwards() const { return !targets_.empty(); }
  uint32_t draw_cluster(Random& random) const;
  /// The clusters that get a copy, one call per mirror of the route: nothing if its part is not met this
  /// time.
  std::optional<uint32_t> draw_mirror(size_t mirror, Random& random) const;

  /// Writes into `out` the path and query that the endpoint sees; false, and `out` is not touched, if they
  /// are those of the request. `path` is the request's, that matched. `out` may be used again and again so
  /// that nothing is allocated (but for regular expressions).
  bool rewrite_path(std::string_view path, std::string& out) const;
  /// Writes the Location of a redirect.
  void write_location(const RouteRequest& request, std::string& out) const;

 private:
  friend class RouteTable;
  struct Target {
    uint64_t up_to;  // of total_weight_
    uint32_t cluster;
  };
  MatchedRoute(Route route, RouteMatcher matcher, std::string virtual_host)
      : route_(std::move(route)), matcher_(std::move(matcher)), virtual_host_(std::move(virtual_host)) {}

  Route route_;
  RouteMatcher matcher_;
  std::string virtual_host_;
  uint32_t index_ = 0;
  std::vector<Target> targets_;
  uint64_t total_weight_ = 0;
  std::vector<uint32_t> mirrors_;
  std::optional<Regex> rewrite_;
};

/// Why a request went where it went, for `explain`.
struct RouteExplanation {
  std::optional<std::string> virtual_host;
  std::string host_reason;  ///< "authority 'a.example.com' matches domain '*.example.com'"
  struct Line {
    std::string route;
    bool matched = false;
    std::string reason;  ///< "header 'x-canary' must be there"
  };
  std::vector<Line> routes;  ///< up to the one that matched, in order
};

class RouteTable {
 public:
  using Pointer = std::shared_ptr<const RouteTable>;

  /// `clusters`: the names of those that there are. Errors name the virtual host and the route.
  static Result<Pointer> build(const RouteConfig& config, std::span<const std::string> clusters);

  /// The route of a request, or nullptr if no virtual host has its authority or none of that host's routes
  /// matches. Allocates nothing. The path is compared as it is: who accepts requests normalizes it first
  /// (path_normalization.h).
  const MatchedRoute* match(const RouteRequest& request) const;
  RouteExplanation explain(const RouteRequest& request) const;

  /// Calls `visit(const MatchedRoute&)` for each route of each virtual host, in their order.
  template <typename Visit>
  void for_each_route(Visit visit) const {
    for (const Host& host : hosts_) {
      for (const MatchedRoute& route : host.routes) visit(route);
    }
  }

 private:
  struct Host {
    std::string name;
    std::vector<MatchedRoute> routes;
    std::vector<PathFilter> filters;  // of the routes, by the same index
  };
  explicit RouteTable(VirtualHostIndex index) : index_(std::move(index)) {}
  static Result<MatchedRoute> build_route(const Route& route, const std::string& host,
                                          std::span<const std::string> clusters);

  VirtualHostIndex index_;
  std::vector<Host> hosts_;
};

}  // namespace sluice
