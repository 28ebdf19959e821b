// Routes and tables of them in few words.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "lb/l7/route_table.h"

namespace sluice::test {

inline const std::vector<std::string> kClusters = {"web", "api", "canary", "shadow"};

inline Route to(std::string name, RouteMatch match = {}, std::string cluster = "web") {
  Route route;
  route.name = std::move(name);
  route.match = std::move(match);
  route.action = ForwardAction{{{std::move(cluster)}}};
  return route;
}

inline RouteMatch path(PathMatchKind kind, std::string value, bool ignore_case = false) {
  RouteMatch match;
  match.path = {kind, std::move(value), ignore_case};
  return match;
}

inline RouteMatch header(std::string name, TextMatch text) {
  RouteMatch match;
  match.headers = {{std::move(name), std::move(text)}};
  return match;
}

inline RouteMatch query(std::string name, TextMatch text) {
  RouteMatch match;
  match.query = {{std::move(name), std::move(text)}};
  return match;
}

inline RouteTable::Pointer build(const RouteConfig& config) {
  auto table = RouteTable::build(config, kClusters);
  EXPECT_TRUE(table.has_value()) << (table ? "" : table.error().message);
  return table.value_or(nullptr);
}

inline RouteTable::Pointer one_host(std::vector<Route> routes) {
  return build({{{"site", {"*"}, std::move(routes)}}});
}

inline std::string taken(const RouteTable& table, const RouteRequest& request) {
  const MatchedRoute* matched = table.match(request);
  return matched == nullptr ? "none" : matched->virtual_host() + "/" + matched->route().name;
}

}  // namespace sluice::test
