#include "lb/l7/route_matcher.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "lb/l7/grpc_content_type.h"
#include "lb/l7/route_check.h"

namespace sluice {
namespace {

using Condition = Mismatch::Condition;

bool is_pseudo_name(std::string_view name) {
  return name == ":authority" || name == ":method" || name == ":path" || name == ":scheme";
}

std::string_view pseudo_value(const RouteRequest& request, std::string_view name) {
  if (name == ":authority") return request.authority;
  if (name == ":method") return request.method;
  return name == ":path" ? request.path : request.scheme;
}

}  // namespace

Result<RouteMatcher> RouteMatcher::build(const RouteMatch& match) {
  RouteMatcher matcher;
  matcher.match_ = match;
  const PathMatch& path = match.path;
  if (path.kind == PathMatchKind::kRegex) {
    if (path.ignore_case)
      return fail("path: ignore_case is not for regular expressions: begin the expression with (?i)");
    auto regex = Regex::compile(path.value);
    if (!regex) return fail("path: " + regex.error().message);
    matcher.path_ = std::move(*regex);
  } else {
    if (!path.value.starts_with('/') && path.value != "*") {
      return fail(fmt::format("path: '{}' does not begin with a slash", path.value));
    }
    if (path.value.find_first_of("?#") != std::string::npos) {
      return fail(fmt::format(
          "path: '{}' has a query; only what stands in front of it is compared, use `query`", path.value));
    }
    // "/api/" as segments is "/api": the slash is asked for anyway.
    if (path.kind == PathMatchKind::kSegments && path.value.ends_with('/'))
      matcher.match_.path.value.pop_back();
  }
  if (match.grpc) {
    if (match.grpc->service.find('/') != std::string::npos ||
        match.grpc->method.find('/') != std::string::npos) {
      return fail("grpc: service and method have no slashes: service 'package.Service', method 'Method'");
    }
    if (match.grpc->service.empty() && !match.grpc->method.empty()) {
      return fail("grpc: a method needs its service");
    }
  }
  for (const std::string& method : match.methods) {
    if (!is_field_name(to_ascii_lower(method)))
      return fail(fmt::format("methods: '{}' is not a method", method));
  }
  auto headers = build_named(match.headers, "header", true);
  if (!headers) return tl::unexpected(headers.error());
  matcher.headers_ = std::move(*headers);
  auto query = build_named(match.query, "query", false);
  if (!query) return tl::unexpected(query.error());
  matcher.query_ = std::move(*query);
  return matcher;
}

Result<std::vector<RouteMatcher::Named>> RouteMatcher::build_named(const std::vector<NamedMatch>& matches,
                                                                   const char* what, bool lower) {
  std::vector<Named> result;
  for (const NamedMatch& match : matches) {
    const std::string name = lower ? to_ascii_lower(match.name) : match.name;
    if (lower ? !is_field_name(name) && !is_pseudo_name(name) : name.empty()) {
      return fail(fmt::format("{}: '{}' is not a name", what, match.name));
    }
    auto text = TextMatcher::build(match.match);
    if (!text) return fail(fmt::format("{} '{}': {}", what, match.name, text.error().message));
    result.push_back({name, std::move(*text)});
  }
  return result;
}

std::optional<Mismatch> RouteMatcher::first_mismatch(const RouteRequest& request,
                                                     const PathParts& path) const {
  if (!path_matches(path.path)) return Mismatch{Condition::kPath};
  if (!method_matches(request.method)) return Mismatch{Condition::kMethod};
  if (match_.grpc && !grpc_matches(request, path.path)) return Mismatch{Condition::kGrpc};
  for (uint32_t i = 0; i < headers_.size(); ++i) {
    if (!header_matches(headers_[i], request)) return Mismatch{Condition::kHeader, i};
  }
  for (uint32_t i = 0; i < query_.size(); ++i) {
    if (!parameter_matches(query_[i], path.query)) return Mismatch{Condition::kQuery, i};
  }
  return std::nullopt;
}

bool RouteMatcher::path_matches(std::string_view path) const {
  const std::string_view value = match_.path.value;
  const auto equal = [this](std::string_view a, std::string_view b) {
    return match_.path.ignore_case ? equal_ignoring_case(a, b) : a == b;
  };
  switch (match_.path.kind) {
    case PathMatchKind::kPrefix:
      return equal(path.substr(0, value.size()), value);
    case PathMatchKind::kSegments:
      return equal(path.substr(0, value.size()), value) &&
             (path.size() == value.size() || path[value.size()] == '/');
    case PathMatchKind::kExact:
      return equal(path, value);
    case PathMatchKind::kRegex:
      return path_->matches(path);
  }
  return false;
}

size_t RouteMatcher::matched_prefix(std::string_view path) const {
  const bool is_prefix =
      match_.path.kind == PathMatchKind::kPrefix || match_.path.kind == PathMatchKind::kSegments;
  return is_prefix ? std::min(match_.path.value.size(), path.size()) : path.size();
}

bool RouteMatcher::method_matches(std::string_view method) const {
  return match_.methods.empty() || std::ranges::find(match_.methods, method) != match_.methods.end();
}

bool RouteMatcher::grpc_matches(const RouteRequest& request, std::string_view path) const {
  const auto type = std::ranges::find(request.headers, "content-type", &HeaderView::name);
  if (type == request.headers.end() || !is_grpc_content_type(type->value)) return false;
  const size_t slash = path.find('/', 1);
  if (!path.starts_with('/') || slash == std::string_view::npos) return false;
  const std::string_view service = path.substr(1, slash - 1);
  const std::string_view method = path.substr(slash + 1);
  return (match_.grpc->service.empty() || service == match_.grpc->service) &&
         (match_.grpc->method.empty() || method == match_.grpc->method);
}

bool RouteMatcher::header_matches(const Named& header, const RouteRequest& request) {
  bool any = false;
  if (header.name.front() == ':') {
    any = header.text.matches(pseudo_value(request, header.name));
  } else {
    for (const HeaderView& field : request.headers) {
      if (field.name == header.name && header.text.matches(field.value)) {
        any = true;
        break;
      }
    }
  }
  return any != header.text.inverted();
}

bool RouteMatcher::parameter_matches(const Named& parameter, std::string_view query) {
  bool any = false;
  while (!query.empty() && !any) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const size_t equals = std::min(pair.find('='), pair.size());
    any = pair.substr(0, equals) == parameter.name &&
          parameter.text.matches(pair.substr(std::min(equals + 1, pair.size())));
  }
  return any != parameter.text.inverted();
}

std::vector<std::string> RouteMatcher::conditions() const {
  std::vector<std::string> words;
  if (match_.path.kind != PathMatchKind::kPrefix || match_.path.value != "/")
    words.push_back(describe({Condition::kPath}));
  if (!match_.methods.empty()) words.push_back(describe({Condition::kMethod}));
  if (match_.grpc) words.push_back(describe({Condition::kGrpc}));
  for (uint32_t i = 0; i < headers_.size(); ++i) words.push_back(describe({Condition::kHeader, i}));
  for (uint32_t i = 0; i < query_.size(); ++i) words.push_back(describe({Condition::kQuery, i}));
  return words;
}

std::string RouteMatcher::describe(const Mismatch& mismatch) const {
  const auto named = [](const char* what, const Named& n) {
    return fmt::format("{} '{}' must {}{}", what, n.name, n.text.inverted() ? "not " : "", n.text.describe());
  };
  switch (mismatch.condition) {
    case Condition::kPath:
      switch (match_.path.kind) {
        case PathMatchKind::kPrefix:
          return fmt::format("path must begin with '{}'", match_.path.value);
        case PathMatchKind::kSegments:
          return fmt::format("path must be '{}' or below it", match_.path.value);
        case PathMatchKind::kExact:
          return fmt::format("path must be '{}'", match_.path.value);
        case PathMatchKind::kRegex:
          return fmt::format("path must match the expression '{}'", match_.path.value);
      }
      break;
    case Condition::kMethod:
      return fmt::format("method must be {}", fmt::join(match_.methods, " or "));
    case Condition::kGrpc:
      return fmt::format("must be a gRPC call of {}{}",
                         match_.grpc->service.empty() ? "any service" : match_.grpc->service,
                         match_.grpc->method.empty() ? "" : "/" + match_.grpc->method);
    case Condition::kHeader:
      return named("header", headers_[mismatch.index]);
    case Condition::kQuery:
      return named("query parameter", query_[mismatch.index]);
  }
  return "?";
}

}  // namespace sluice
