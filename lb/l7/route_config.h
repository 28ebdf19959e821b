// Which requests go where: what an operator writes. Plain values; a RouteTable is built from one.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "lb/l7/route_policy.h"
#include "lb/l7/text_match.h"

namespace sluice {

enum class PathMatchKind : uint8_t {
  kPrefix,    ///< begins with the value, anywhere in a segment
  kSegments,  ///< is the value, or begins with it and a slash
  kExact,
  kRegex,  ///< all of the path
};

/// Of the path without its query.
struct PathMatch {
  PathMatchKind kind = PathMatchKind::kPrefix;
  std::string value = "/";
  bool ignore_case = false;  ///< of ASCII letters; not for kRegex
  friend bool operator==(const PathMatch&, const PathMatch&) = default;
};

/// A gRPC call: content-type application/grpc, path /service/method.
struct GrpcMatch {
  std::string service;  ///< "package.Service"; "": any
  std::string method;   ///< "": any
  friend bool operator==(const GrpcMatch&, const GrpcMatch&) = default;
};

/// Of a header field, or of :authority, :method, :path or :scheme. A field that comes several times matches
/// if one of its values does.
struct NamedMatch {
  std::string name;
  TextMatch match;
  friend bool operator==(const NamedMatch&, const NamedMatch&) = default;
};

/// All that is given must match.
struct RouteMatch {
  PathMatch path;
  std::optional<GrpcMatch> grpc;
  std::vector<std::string> methods;  ///< one of them; empty: any
  std::vector<NamedMatch> headers;
  std::vector<NamedMatch> query;  ///< names and values as they stand in the URI, not percent-decoded
  friend bool operator==(const RouteMatch&, const RouteMatch&) = default;
};

struct WeightedCluster {
  std::string cluster;
  uint32_t weight = 1;  ///< 0..1 000 000
  friend bool operator==(const WeightedCluster&, const WeightedCluster&) = default;
};

/// To one of the clusters, drawn in proportion to weights.
struct ForwardAction {
  std::vector<WeightedCluster> clusters;
  friend bool operator==(const ForwardAction&, const ForwardAction&) = default;
};

/// What is not given stays as it was in the request.
struct RedirectAction {
  uint32_t status = 301;  ///< 301, 302, 303, 307, 308
  std::string scheme;     ///< "http" or "https"
  std::string host;
  std::optional<uint16_t> port;
  std::optional<std::string> path;    ///< all of it; may have a query, which then replaces the request's
  std::optional<std::string> prefix;  ///< in the place of what the route's path match matched
  bool strip_query = false;
  friend bool operator==(const RedirectAction&, const RedirectAction&) = default;
};

struct DirectResponse {
  uint32_t status = 200;  ///< 200..599
  std::string body;
  std::string content_type = "text/plain";
  friend bool operator==(const DirectResponse&, const DirectResponse&) = default;
};

enum class HeaderEditKind : uint8_t {
  kSet,  ///< in the place of all of that name
  kAdd,  ///< beside them
  kAddIfAbsent,
  kRemove,
};

struct HeaderEdit {
  HeaderEditKind kind = HeaderEditKind::kSet;
  std::string name;
  std::string value;
  friend bool operator==(const HeaderEdit&, const HeaderEdit&) = default;
};

/// What an endpoint sees instead of the client's path and host. At most one of the three for the path.
struct Rewrite {
  std::optional<std::string> host;
  std::optional<std::string> path;    ///< all of it, without the query
  std::optional<std::string> prefix;  ///< in the place of what the route's path match matched
  std::optional<std::string> regex;   ///< each match in the path without its query ...
  std::string substitution;           ///< ... is replaced by this; see Regex::replace_all
  friend bool operator==(const Rewrite&, const Rewrite&) = default;
};

/// A copy of the request, whose answer nobody waits for.
struct Mirror {
  std::string cluster;
  double percent = 100;  ///< 0..100 of the requests
  friend bool operator==(const Mirror&, const Mirror&) = default;
};

struct Route {
  std::string name;  ///< for people; "": "#3" by its place
  RouteMatch match;
  std::variant<ForwardAction, RedirectAction, DirectResponse> action;
  Rewrite rewrite;                          ///< for ForwardAction
  std::vector<Mirror> mirrors;              ///< likewise
  std::vector<HeaderEdit> request_headers;  ///< in this order
  std::vector<HeaderEdit> response_headers;
  RoutePolicy policy;
  friend bool operator==(const Route&, const Route&) = default;
};

struct VirtualHost {
  std::string name;
  /// "example.com", "example.com:8443" (only that port), "*.example.com" (any depth below it), "*" (all
  /// others).
  std::vector<std::string> domains;
  std::vector<Route> routes;  ///< the first that matches is taken
  friend bool operator==(const VirtualHost&, const VirtualHost&) = default;
};

struct RouteConfig {
  std::vector<VirtualHost> virtual_hosts;
  friend bool operator==(const RouteConfig&, const RouteConfig&) = default;
};

}  // namespace sluice
