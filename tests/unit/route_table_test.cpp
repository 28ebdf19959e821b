// Routing as data: a table of hosts and routes, and which of them each request takes.
#include "lb/l7/route_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/count_allocations.h"
#include "tests/unit/route_site.h"

namespace sluice {
namespace {

using test::build;
using test::header;
using test::one_host;
using test::path;
using test::query;
using test::taken;
using test::to;
using testing::HasSubstr;

TEST(RouteTable, PicksTheVirtualHostOfAnAuthority) {
  const std::vector<Route> all = {to("all")};
  const auto table = build({{{"exact", {"example.com", "WWW.Example.com"}, all},
                             {"port", {"example.com:8443"}, all},
                             {"below", {"*.example.com"}, all},
                             {"deep", {"*.a.example.com"}, all},
                             {"six", {"[2001:db8::1]"}, all},
                             {"other", {"*"}, all}}});
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"example.com", "exact"},
      {"EXAMPLE.com", "exact"},
      {"example.com:80", "exact"},
      {"example.com:8443", "port"},
      {"example.com.", "exact"},
      {"www.example.com", "exact"},
      {"x.example.com", "below"},
      {"x.example.com:8443", "below"},
      {"x.y.example.com", "below"},
      {"x.a.example.com", "deep"},
      {"x.y.a.example.com", "deep"},
      {"a.example.com", "below"},
      {".example.com", "other"},
      {"notexample.com", "other"},
      {"xexample.com", "other"},
      {"example.org", "other"},
      {"[2001:db8::1]", "six"},
      {"[2001:DB8::1]:443", "six"},
      {"", "other"},
      {std::string(1000, 'a') + ".example.com", "other"},
  };
  for (const auto& [authority, host] : cases) {
    EXPECT_EQ(taken(*table, {authority, "GET", "/"}), host + "/all") << authority;
  }
  const auto strict = build({{{"exact", {"example.com"}, all}}});
  EXPECT_EQ(taken(*strict, {"example.org", "GET", "/"}), "none");
}

TEST(RouteTable, TheFirstThatMatchesIsTaken) {
  const auto table = one_host({to("exact", path(PathMatchKind::kExact, "/a/b")),
                               to("segments", path(PathMatchKind::kSegments, "/a")),
                               to("prefix", path(PathMatchKind::kPrefix, "/ab")),
                               to("letters", path(PathMatchKind::kPrefix, "/IMG/", true)),
                               to("regex", path(PathMatchKind::kRegex, "/v[0-9]+/.*\\.js")),
                               to("below", path(PathMatchKind::kSegments, "/api/"))});
  const std::vector<std::pair<std::string, std::string>> cases = {{"/a/b", "exact"},
                                                                  {"/a/b?x=1", "exact"},
                                                                  {"/a/b/", "segments"},
                                                                  {"/a", "segments"},
                                                                  {"/a/", "segments"},
                                                                  {"/a?q", "segments"},
                                                                  {"/abc", "prefix"},
                                                                  {"/ab/c", "prefix"},
                                                                  {"/A/b", ""},
                                                                  {"/img/x", "letters"},
                                                                  {"/Img/x", "letters"},
                                                                  {"/v12/x/y.js", "regex"},
                                                                  {"/v12/x.js?z", "regex"},
                                                                  {"/v/x.js", ""},
                                                                  {"/v1/x.jsx", ""},
                                                                  {"/api", "below"},
                                                                  {"/api/x", "below"},
                                                                  {"/apix", ""},
                                                                  {"*", ""},
                                                                  {"", ""}};
  for (const auto& [target, route] : cases) {
    EXPECT_EQ(taken(*table, {"h", "GET", target}), route.empty() ? "none" : "site/" + route) << target;
  }
}

// Paths of all lengths around those that are compared as words.
TEST(RouteTable, ComparesPathsOfAnyLength) {
  const std::string long_path = "/" + std::string(39, 'x');
  for (size_t size = 1; size <= long_path.size(); ++size) {
    const std::string value = long_path.substr(0, size);
    const auto table = one_host(
        {to("exact", path(PathMatchKind::kExact, value)), to("prefix", path(PathMatchKind::kPrefix, value))});
    EXPECT_EQ(taken(*table, {"h", "GET", value}), "site/exact");
    EXPECT_EQ(taken(*table, {"h", "GET", value + "y"}), "site/prefix");
    EXPECT_EQ(taken(*table, {"h", "GET", value + "?y"}), "site/exact");
    EXPECT_EQ(taken(*table, {"h", "GET", value.substr(0, size - 1)}), "none");
    EXPECT_EQ(taken(*table, {"h", "GET", value.substr(0, size - 1) + "y"}), "none");
  }
}

TEST(RouteTable, LooksAtMethodsHeadersAndQuery) {
  struct Case {
    std::string what;
    RouteMatch match;
    RouteRequest request;
    bool matches;
  };
  RouteMatch writing;
  writing.methods = {"POST", "PUT"};
  const HeaderView canary[] = {{"accept", "*/*"}, {"x-canary", "always"}};
  const HeaderView twice[] = {{"x-canary", "no"}, {"x-canary", "Beta-7"}};
  const auto exact = [](std::string value) { return TextMatch{TextMatchKind::kExact, std::move(value)}; };
  const TextMatch not_there{TextMatchKind::kPresent, "", false, true};
  RouteMatch both = header("x-canary", {});
  both.query = {{"v", exact("2")}};
  const std::vector<Case> cases = {
      {"method", writing, {"h", "PUT", "/"}, true},
      {"other method", writing, {"h", "GET", "/"}, false},
      {"methods have case", writing, {"h", "put", "/"}, false},
      {"present", header("X-Canary", {}), {"h", "GET", "/", "http", canary}, true},
      {"not present", header("x-canary", {}), {"h", "GET", "/"}, false},
      {"absent wanted", header("x-canary", not_there), {"h", "GET", "/"}, true},
      {"absent wanted, there", header("x-canary", not_there), {"h", "GET", "/", "http", canary}, false},
      {"exact", header("x-canary", exact("always")), {"h", "GET", "/", "http", canary}, true},
      {"exact, other", header("x-canary", exact("alway")), {"h", "GET", "/", "http", canary}, false},
      {"exact has case", header("x-canary", exact("Always")), {"h", "GET", "/", "http", canary}, false},
      {"case ignored",
       header("x-canary", {TextMatchKind::kExact, "AlWays", true}),
       {"h", "GET", "/", "http", canary},
       true},
      {"prefix", header("x-canary", {TextMatchKind::kPrefix, "al"}), {"h", "GET", "/", "http", canary}, true},
      {"prefix longer than it",
       header("x-canary", {TextMatchKind::kPrefix, "always1"}),
       {"h", "GET", "/", "http", canary},
       false},
      {"suffix",
       header("x-canary", {TextMatchKind::kSuffix, "ways"}),
       {"h", "GET", "/", "http", canary},
       true},
      {"suffix longer than it",
       header("x-canary", {TextMatchKind::kSuffix, "1always"}),
       {"h", "GET", "/", "http", canary},
       false},
      {"contains",
       header("x-canary", {TextMatchKind::kContains, "way"}),
       {"h", "GET", "/", "http", canary},
       true},
      {"contains, whatever case",
       header("x-canary", {TextMatchKind::kContains, "WAY", true}),
       {"h", "GET", "/", "http", canary},
       true},
      {"regex", header("x-canary", {TextMatchKind::kRegex, "al.*"}), {"h", "GET", "/", "http", canary}, true},
      {"regex is of the whole",
       header("x-canary", {TextMatchKind::kRegex, "al"}),
       {"h", "GET", "/", "http", canary},
       false},
      {"one of several",
       header("x-canary", {TextMatchKind::kPrefix, "beta-", true}),
       {"h", "GET", "/", "http", twice},
       true},
      {"none of several",
       header("x-canary", {TextMatchKind::kPrefix, "beta-", true, true}),
       {"h", "GET", "/", "http", twice},
       false},
      {"pseudo", header(":scheme", exact("https")), {"h", "GET", "/", "https"}, true},
      {"authority", header(":authority", exact("h:80")), {"h:80", "GET", "/"}, true},
      {"query value", query("v", exact("2")), {"h", "GET", "/?a=1&v=2"}, true},
      {"query other value", query("v", exact("2")), {"h", "GET", "/?v=22&w=2"}, false},
      {"query there", query("v", {}), {"h", "GET", "/?v"}, true},
      {"query empty value", query("v", exact("")), {"h", "GET", "/?v="}, true},
      {"query one of two", query("v", exact("2")), {"h", "GET", "/?v=1&v=2"}, true},
      {"query first of two", query("v", exact("2")), {"h", "GET", "/?v=2&v=1"}, true},
      {"query not there", query("v", {}), {"h", "GET", "/?av=1&&"}, false},
      {"query absent wanted", query("v", not_there), {"h", "GET", "/"}, true},
      {"name is not the value's", query("2", {}), {"h", "GET", "/?v=2"}, false},
      {"all must match", both, {"h", "GET", "/?v=2", "http", canary}, true},
      {"one does not", both, {"h", "GET", "/?v=3", "http", canary}, false},
  };
  for (const Case& c : cases) {
    const auto table = one_host({to("r", c.match)});
    EXPECT_EQ(taken(*table, c.request), c.matches ? "site/r" : "none") << c.what;
  }
}

TEST(RouteTable, KnowsGrpcCalls) {
  const auto table = [] {
    RouteMatch method;
    method.grpc = {"shop.v1.Cart", "Add"};
    RouteMatch service;
    service.grpc = {"shop.v1.Cart", ""};
    RouteMatch any;
    any.grpc = GrpcMatch{};
    return one_host({to("method", method), to("service", service), to("any", any), to("web")});
  }();
  const auto route = [&](std::string_view target, std::string_view type) {
    const HeaderView headers[] = {{"content-type", type}};
    return taken(*table, {"h", "POST", target, "http", headers});
  };
  EXPECT_EQ(route("/shop.v1.Cart/Add", "application/grpc"), "site/method");
  EXPECT_EQ(route("/shop.v1.Cart/Add", "application/grpc+proto"), "site/method");
  EXPECT_EQ(route("/shop.v1.Cart/Add", "application/grpc;x=1"), "site/method");
  EXPECT_EQ(route("/shop.v1.Cart/Added", "application/grpc"), "site/service");
  EXPECT_EQ(route("/shop.v1.Carts/Add", "application/grpc"), "site/any");
  EXPECT_EQ(route("/shop.v1.Cart/Add", "application/grpc-web"), "site/web");
  EXPECT_EQ(route("/shop.v1.Cart/Add", "application/json"), "site/web");
  EXPECT_EQ(route("/x", "application/grpc"), "site/web");
  EXPECT_EQ(taken(*table, {"h", "POST", "/shop.v1.Cart/Add"}), "site/web");
}

TEST(RouteTable, AMatchAllocatesNothing) {
  const auto table = build(
      {{{"site",
         {"example.com", "*.example.com"},
         {to("h", header("x-a", {TextMatchKind::kContains, "ZZ", true})),
          to("q", query("v", {TextMatchKind::kExact, "2"})),
          to("regex", path(PathMatchKind::kRegex, "/v[0-9]+/a-rather-long-path-that-no-string-keeps-inside")),
          to("all")}}}});
  const HeaderView headers[] = {{"x-a", "1"}};
  const RouteRequest requests[] = {
      {"a.b.c.EXAMPLE.com:8080", "GET", "/a-rather-long-path-that-no-string-keeps-inside?w=2", "http",
       headers},
      {"example.com", "GET", "/v77/a-rather-long-path-that-no-string-keeps-inside", "http", headers}};
  Random random(1);
  for (const RouteRequest& request : requests)
    EXPECT_NE(table->match(request), nullptr);  // RE2's cache grows here
  const uint64_t before = allocations_so_far();
  for (int i = 0; i < 100; ++i) {
    for (const RouteRequest& request : requests) table->match(request)->draw_cluster(random);
  }
  EXPECT_EQ(allocations_so_far() - before, 0u);
}

TEST(RouteTable, ExplainsEachRoute) {
  RouteMatch grpc;
  grpc.grpc = {"shop.Cart", "Add"};
  RouteMatch post;
  post.methods = {"POST", "PUT"};
  const auto table = build(
      {{{"shop",
         {"*.example.com"},
         {to("static", path(PathMatchKind::kSegments, "/static")),
          to("exact", path(PathMatchKind::kExact, "/e")), to("regex", path(PathMatchKind::kRegex, "/r+")),
          to("post", post), to("grpc", grpc), to("canary", header("x-canary", {TextMatchKind::kPrefix, "b"})),
          to("no-bots", header("user-agent", {TextMatchKind::kContains, "bot", true, true})),
          to("v2", query("v", {TextMatchKind::kExact, "2"})), to("", path(PathMatchKind::kPrefix, "/")),
          to("never")}}}});
  const HeaderView headers[] = {{"user-agent", "GoogleBot"}};
  const auto explanation = table->explain({"www.example.com:80", "GET", "/x", "http", headers});
  EXPECT_EQ(explanation.virtual_host, "shop");
  EXPECT_EQ(explanation.host_reason, "authority 'www.example.com:80' matches domain '*.example.com'");
  std::vector<std::string> lines;
  for (const auto& line : explanation.routes)
    lines.push_back(line.route + (line.matched ? ": yes, " : ": ") + line.reason);
  EXPECT_THAT(lines, ::testing::ElementsAre(
                         "static: path must be '/static' or below it", "exact: path must be '/e'",
                         "regex: path must match the expression '/r+'", "post: method must be POST or PUT",
                         "grpc: must be a gRPC call of shop.Cart/Add",
                         "canary: header 'x-canary' must begin with 'b'",
                         "no-bots: header 'user-agent' must not contain 'bot' (whatever the case)",
                         "v2: query parameter 'v' must be '2'", "#9: yes, all its conditions are met"));
  const auto nowhere = table->explain({"example.org", "GET", "/"});
  EXPECT_FALSE(nowhere.virtual_host.has_value());
  EXPECT_THAT(nowhere.host_reason, HasSubstr("'example.org' matches no domain"));
  EXPECT_TRUE(nowhere.routes.empty());
}

TEST(RouteTable, ListsAllConditionsOfARouteInItsWords) {
  RouteMatch all = path(PathMatchKind::kExact, "/e");
  all.methods = {"GET"};
  all.grpc = {"shop.Cart", ""};
  all.headers = {{"x-a", {TextMatchKind::kExact, "1"}}, {"x-b", {TextMatchKind::kPresent, "", false, true}}};
  all.query = {{"v", {TextMatchKind::kPresent}}};
  const auto table = one_host({to("all", all), to("any")});
  std::vector<std::vector<std::string>> conditions;
  table->for_each_route([&](const MatchedRoute& route) { conditions.push_back(route.conditions()); });
  EXPECT_THAT(conditions[0],
              ::testing::ElementsAre("path must be '/e'", "method must be GET",
                                     "must be a gRPC call of shop.Cart", "header 'x-a' must be '1'",
                                     "header 'x-b' must not be there", "query parameter 'v' must be there"));
  EXPECT_TRUE(conditions[1].empty());
}

}  // namespace
}  // namespace sluice
