#include "lb/l7/route_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "lb/l7/route_check.h"

namespace sluice {
namespace {

// `path` with `prefix` in the place of its first `matched` bytes. Where they meet a slash stays one slash,
// and there is one at the beginning: "/" replaced by "/v2" in "/users" is "/v2/users".
void append_replaced(std::string_view prefix, std::string_view path, size_t matched, std::string& out) {
  const size_t begin = out.size();
  const bool slash = path.substr(0, matched).ends_with('/');
  std::string_view rest = path.substr(matched);
  out.append(prefix);
  if (prefix.ends_with('/') && rest.starts_with('/')) rest.remove_prefix(1);
  if (slash && !prefix.ends_with('/') && !rest.empty() && !rest.starts_with('/')) out.append("/");
  out.append(rest);
  if (out.size() == begin || out[begin] != '/') out.insert(begin, 1, '/');
}

}  // namespace

Result<RouteTable::Pointer> RouteTable::build(const RouteConfig& config,
                                              std::span<const std::string> clusters) {
  auto index = VirtualHostIndex::build(config.virtual_hosts);
  if (!index) return tl::unexpected(index.error());
  std::shared_ptr<RouteTable> table(new RouteTable(std::move(*index)));
  uint32_t routes = 0;
  for (const VirtualHost& host : config.virtual_hosts) {
    Host built{host.name};
    for (size_t i = 0; i < host.routes.size(); ++i) {
      Route named = host.routes[i];
      if (named.name.empty()) named.name = fmt::format("#{}", i + 1);
      auto route = build_route(named, host.name, clusters);
      if (!route) {
        return fail(
            fmt::format("virtual host '{}', route '{}': {}", host.name, named.name, route.error().message));
      }
      route->index_ = routes++;
      built.routes.push_back(std::move(*route));
      built.filters.emplace_back(host.routes[i].match.path);
    }
    table->hosts_.push_back(std::move(built));
  }
  return Pointer(std::move(table));
}

Result<MatchedRoute> RouteTable::build_route(const Route& route, const std::string& host,
                                             std::span<const std::string> clusters) {
  if (auto accepted = check_route(route); !accepted) return tl::unexpected(accepted.error());
  auto matcher = RouteMatcher::build(route.match);
  if (!matcher) return tl::unexpected(matcher.error());
  MatchedRoute built(route, std::move(*matcher), host);
  const auto index_of = [&](const std::string& name) -> Result<uint32_t> {
    const auto at = std::ranges::find(clusters, name);
    if (at == clusters.end()) return fail(fmt::format("cluster '{}' is not defined", name));
    return static_cast<uint32_t>(at - clusters.begin());
  };
  if (const auto* forward = std::get_if<ForwardAction>(&route.action)) {
    for (const WeightedCluster& target : forward->clusters) {
      const auto cluster = index_of(target.cluster);
      if (!cluster) return tl::unexpected(cluster.error());
      built.total_weight_ += target.weight;
      built.targets_.push_back({built.total_weight_, *cluster});
    }
  }
  for (const Mirror& mirror : route.mirrors) {
    const auto cluster = index_of(mirror.cluster);
    if (!cluster) return fail("mirror: " + cluster.error().message);
    built.mirrors_.push_back(*cluster);
  }
  if (route.rewrite.regex) {
    auto regex = Regex::compile(*route.rewrite.regex);
    if (!regex) return fail("rewrite: " + regex.error().message);
    if (auto accepted = regex->check_substitution(route.rewrite.substitution); !accepted) {
      return fail("rewrite: " + accepted.error().message);
    }
    built.rewrite_ = std::move(*regex);
  }
  return built;
}

const MatchedRoute* RouteTable::match(const RouteRequest& request) const {
  const auto host = index_.find(request.authority);
  if (!host) return nullptr;
  const PathParts path = split_path(request.path);
  const PathHead head(path.path);
  const Host& found = hosts_[host->host];
  for (size_t i = 0; i < found.filters.size(); ++i) {
    if (!found.filters[i].passes(head)) continue;
    if (!found.routes[i].matcher_.first_mismatch(request, path)) return &found.routes[i];
  }
  return nullptr;
}

RouteExplanation RouteTable::explain(const RouteRequest& request) const {
  RouteExplanation explanation;
  const auto host = index_.find(request.authority);
  if (!host) {
    explanation.host_reason =
        fmt::format("authority '{}' matches no domain, and no virtual host has '*'", request.authority);
    return explanation;
  }
  explanation.virtual_host = hosts_[host->host].name;
  explanation.host_reason = fmt::format("authority '{}' matches domain '{}{}'", request.authority,
                                        host->domain.starts_with('.') ? "*" : "", host->domain);
  const PathParts path = split_path(request.path);
  for (const MatchedRoute& route : hosts_[host->host].routes) {
    const auto mismatch = route.matcher_.first_mismatch(request, path);
    explanation.routes.push_back(
        {route.route_.name, !mismatch,
         mismatch ? route.matcher_.describe(*mismatch) : "all its conditions are met"});
    if (!mismatch) break;
  }
  return explanation;
}

uint32_t MatchedRoute::draw_cluster(Random& random) const {
  if (targets_.size() == 1) return targets_.front().cluster;
  const uint64_t number = random.below(total_weight_);
  return std::ranges::upper_bound(targets_, number, {}, &Target::up_to)->cluster;
}

std::optional<uint32_t> MatchedRoute::draw_mirror(size_t mirror, Random& random) const {
  if (random.unit() * 100 >= route_.mirrors[mirror].percent) return std::nullopt;
  return mirrors_[mirror];
}

bool MatchedRoute::rewrite_path(std::string_view path, std::string& out) const {
  const Rewrite& rewrite = route_.rewrite;
  if (!rewrite.path && !rewrite.prefix && !rewrite.regex) return false;
  const PathParts parts = split_path(path);
  if (rewrite.path) {
    out = *rewrite.path;
  } else if (rewrite.prefix) {
    out.clear();
    append_replaced(*rewrite.prefix, parts.path, matcher_.matched_prefix(parts.path), out);
  } else {
    out = parts.path;
    rewrite_->replace_all(out, rewrite.substitution);
    // An expression may take the slash away; a path without it is none.
    if (!out.starts_with('/')) out.insert(out.begin(), '/');
  }
  if (parts.has_query) out.append("?").append(parts.query);
  return true;
}

void MatchedRoute::write_location(const RouteRequest& request, std::string& out) const {
  const auto& redirect = std::get<RedirectAction>(route_.action);
  const std::string_view scheme =
      redirect.scheme.empty() ? request.scheme : std::string_view(redirect.scheme);
  const AuthorityParts authority = split_authority(request.authority);
  out = scheme;
  out.append("://").append(redirect.host.empty() ? authority.host : std::string_view(redirect.host));
  if (redirect.port) {
    const bool implied = *redirect.port == (scheme == "https" ? 443 : 80);
    if (!implied) fmt::format_to(std::back_inserter(out), ":{}", *redirect.port);
  } else if (redirect.scheme.empty() && redirect.host.empty() && !authority.port.empty()) {
    out.append(":").append(authority.port);  // a port belongs to the scheme and host that it came with
  }
  const PathParts parts = split_path(request.path);
  if (redirect.path) {
    out.append(*redirect.path);
  } else if (redirect.prefix) {
    append_replaced(*redirect.prefix, parts.path, matcher_.matched_prefix(parts.path), out);
  } else {
    out.append(parts.path);
  }
  const bool own_query = redirect.path && redirect.path->find('?') != std::string::npos;
  if (parts.has_query && !redirect.strip_query && !own_query) out.append("?").append(parts.query);
}

}  // namespace sluice
