// Routing as data: a table of hosts and routes, and which of them each request takes.
#include "lb/l7/route_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "count_allocations.h"
#include "lb/l7/route_check.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

const std::vector<std::string> kClusters = {"web", "api", "canary", "shadow"};

Route to(std::string name, RouteMatch match = {}, std::string cluster = "web") {
  Route route;
  route.name = std::move(name);
  route.match = std::move(match);
  route.action = ForwardAction{{{std::move(cluster)}}};
  return route;
}

RouteMatch path(PathMatchKind kind, std::string value, bool ignore_case = false) {
  RouteMatch match;
  match.path = {kind, std::move(value), ignore_case};
  return match;
}

RouteMatch header(std::string name, TextMatch text) {
  RouteMatch match;
  match.headers = {{std::move(name), std::move(text)}};
  return match;
}

RouteMatch query(std::string name, TextMatch text) {
  RouteMatch match;
  match.query = {{std::move(name), std::move(text)}};
  return match;
}

RouteTable::Pointer build(const RouteConfig& config) {
  auto table = RouteTable::build(config, kClusters);
  EXPECT_TRUE(table.has_value()) << (table ? "" : table.error().message);
  return table.value_or(nullptr);
}

RouteTable::Pointer one_host(std::vector<Route> routes) {
  return build({{{"site", {"*"}, std::move(routes)}}});
}

std::string error_of(const Route& route) {
  const auto table = RouteTable::build({{{"site", {"*"}, {route}}}}, kClusters);
  return table ? "built" : table.error().message;
}

std::string taken(const RouteTable& table, const RouteRequest& request) {
  const MatchedRoute* matched = table.match(request);
  return matched == nullptr ? "none" : matched->virtual_host() + "/" + matched->route().name;
}

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

TEST(RouteTable, DrawsClustersByWeight) {
  Route route = to("canary");
  route.action = ForwardAction{{{"web", 90}, {"api", 0}, {"canary", 10}}};
  route.mirrors = {{"shadow", 25}, {"api", 0}, {"web", 100}};
  const auto table = one_host({route});
  const MatchedRoute* matched = table->match({"h", "GET", "/"});
  ASSERT_NE(matched, nullptr);
  EXPECT_TRUE(matched->forwards());
  Random random(5);
  std::vector<int> counts(kClusters.size());
  std::vector<int> mirrored(3);
  for (int i = 0; i < 10'000; ++i) {
    ++counts[matched->draw_cluster(random)];
    for (size_t m = 0; m < 3; ++m) {
      const auto copy = matched->draw_mirror(m, random);
      if (!copy) continue;
      EXPECT_EQ(kClusters[*copy], route.mirrors[m].cluster);
      ++mirrored[m];
    }
  }
  EXPECT_NEAR(counts[0], 9000, 150);
  EXPECT_EQ(counts[1], 0);
  EXPECT_NEAR(counts[2], 1000, 150);
  EXPECT_NEAR(mirrored[0], 2500, 200);
  EXPECT_EQ(mirrored[1], 0);
  EXPECT_EQ(mirrored[2], 10'000);
}

TEST(RouteTable, RewritesPaths) {
  const auto prefix = [](std::string value) { return Rewrite{.prefix = std::move(value)}; };
  const auto regex = [](std::string expression, std::string by) {
    return Rewrite{.regex = std::move(expression), .substitution = std::move(by)};
  };
  const auto api = path(PathMatchKind::kPrefix, "/api");
  const auto api_slash = path(PathMatchKind::kPrefix, "/api/");
  const auto below_api = path(PathMatchKind::kSegments, "/api");
  struct Case {
    RouteMatch match;
    Rewrite rewrite;
    std::string from;
    std::string to;
  };
  const std::vector<Case> cases = {
      {api, prefix("/v2"), "/api/users?x=/api", "/v2/users?x=/api"},
      {api, prefix("/v2"), "/api", "/v2"},
      {api, prefix("/v2"), "/apiary", "/v2ary"},
      {api, prefix("/"), "/api/users", "/users"},
      {api, prefix(""), "/api/users", "/users"},
      {api, prefix(""), "/api", "/"},
      {api, prefix(""), "/api?q", "/?q"},
      {api_slash, prefix("/"), "/api/users", "/users"},
      {api_slash, prefix("/v2"), "/api/users", "/v2/users"},
      {api_slash, prefix("/v2"), "/api/", "/v2"},
      {{}, prefix("/v2"), "/users", "/v2/users"},
      {{}, prefix("/v2"), "/", "/v2"},
      {api_slash, prefix("/v2/"), "/api/users", "/v2/users"},
      {api_slash, prefix(""), "/api/users", "/users"},
      {below_api, prefix("/v2"), "/api/users", "/v2/users"},
      {path(PathMatchKind::kExact, "/api"), prefix("/v2"), "/api?x", "/v2?x"},
      {path(PathMatchKind::kPrefix, "/API", true), prefix("/v2"), "/aPi/users", "/v2/users"},
      {{}, Rewrite{.path = "/index.html"}, "/any/thing?x=1", "/index.html?x=1"},
      {{},
       regex("^/users/([^/]+)/(.*)$", "/\\2/of/\\1"),
       "/users/ann/cart?a=/users/b/c",
       "/cart/of/ann?a=/users/b/c"},
      {{}, regex("one", "two"), "/one/one", "/two/two"},
      {{}, regex("one", "two"), "/three?one", "/three?one"},
      {{}, regex("^/", ""), "/x", "/x"},
  };
  for (const Case& c : cases) {
    Route route = to("r", c.match);
    route.rewrite = c.rewrite;
    const auto table = one_host({route});
    const MatchedRoute* matched = table->match({"h", "GET", c.from});
    ASSERT_NE(matched, nullptr) << c.from;
    std::string out = "left over from the last request, long enough";
    EXPECT_TRUE(matched->rewrite_path(c.from, out));
    EXPECT_EQ(out, c.to) << c.from;
  }
  std::string untouched = "x";
  EXPECT_FALSE(one_host({to("r")})->match({"h", "GET", "/"})->rewrite_path("/", untouched));
  EXPECT_EQ(untouched, "x");
}

TEST(RouteTable, WritesLocations) {
  struct Case {
    RedirectAction redirect;
    std::string scheme;
    std::string authority;
    std::string from;
    std::string location;
  };
  const std::vector<Case> cases = {
      {{.scheme = "https"}, "http", "a.com", "/x?y", "https://a.com/x?y"},
      {{.scheme = "https"}, "http", "a.com:8080", "/x", "https://a.com/x"},
      {{.scheme = "https", .port = 8443}, "http", "a.com:8080", "/x", "https://a.com:8443/x"},
      {{.scheme = "https", .port = 443}, "http", "a.com", "/", "https://a.com/"},
      {{.port = 443}, "http", "a.com", "/", "http://a.com:443/"},
      {{.host = "b.org"}, "https", "a.com:8443", "/x?y", "https://b.org/x?y"},
      {{.path = "/new"}, "https", "a.com:8443", "/x?y", "https://a.com:8443/new?y"},
      {{.path = "/new?z"}, "https", "a.com", "/x?y", "https://a.com/new?z"},
      {{.path = "/new", .strip_query = true}, "https", "a.com", "/x?y", "https://a.com/new"},
      {{.prefix = "/new"}, "https", "a.com", "/x/y", "https://a.com/new/x/y"},
      {{.prefix = ""}, "https", "a.com", "/", "https://a.com/"},
      {{.scheme = "https"}, "http", "[2001:db8::1]:80", "/", "https://[2001:db8::1]/"},
  };
  for (const Case& c : cases) {
    Route route;
    route.action = c.redirect;
    const auto table = one_host({route});
    const RouteRequest request{c.authority, "GET", c.from, c.scheme};
    const MatchedRoute* matched = table->match(request);
    ASSERT_NE(matched, nullptr);
    EXPECT_FALSE(matched->forwards());
    std::string out = "left over";
    matched->write_location(request, out);
    EXPECT_EQ(out, c.location) << c.authority << c.from;
  }
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

TEST(RouteTable, RefusesDomainsThatMakeNoSense) {
  const auto refused = [](std::vector<VirtualHost> hosts) {
    const auto table = RouteTable::build({std::move(hosts)}, kClusters);
    return table ? "built" : table.error().message;
  };
  EXPECT_EQ(refused({}), "built");
  EXPECT_THAT(refused({{"a", {}, {}}}), HasSubstr("virtual host 'a': no domains"));
  EXPECT_THAT(refused({{"a", {"*"}, {}}, {"b", {"*"}, {}}}),
              HasSubstr("virtual host 'b': domain '*' belongs to virtual host 'a'"));
  EXPECT_THAT(refused({{"a", {"x.com"}, {}}, {"b", {"X.com"}, {}}}),
              HasSubstr("'X.com' belongs to virtual host 'a'"));
  EXPECT_THAT(refused({{"a", {"*.x.com", "*.X.com"}, {}}}), HasSubstr("belongs to virtual host 'a'"));
  for (const char* domain :
       {"", "*.", "x*.com", "*x.com", "http://x.com", "x.com/", "x.com.", "*.x.com:80", "x com"}) {
    EXPECT_THAT(refused({{"a", {domain}, {}}}), HasSubstr("is not a domain")) << domain;
  }
}

TEST(RouteTable, ErrorsNameTheRoute) {
  struct Case {
    std::string expected;
    std::function<void(Route&)> change;
  };
  const std::vector<Case> cases = {
      {"built", [](Route&) {}},
      {"virtual host 'site', route 'r': cluster 'nowhere' is not defined",
       [](Route& r) {
         r.action = ForwardAction{{{"web"}, {"nowhere"}}};
       }},
      {"no cluster", [](Route& r) { r.action = ForwardAction{}; }},
      {"all clusters have weight 0",
       [](Route& r) {
         r.action = ForwardAction{{{"web", 0}}};
       }},
      {"weight 1000001",
       [](Route& r) {
         r.action = ForwardAction{{{"web", 1'000'001}}};
       }},
      {"mirror: cluster 'nowhere'", [](Route& r) { r.mirrors = {{"nowhere"}}; }},
      {"101 percent",
       [](Route& r) {
         r.mirrors = {{"web", 101}};
       }},
      {"path: 'x' does not begin", [](Route& r) { r.match.path.value = "x"; }},
      {"path: '/x?y' has a query", [](Route& r) { r.match.path.value = "/x?y"; }},
      {"path: regular expression '/(': missing",
       [](Route& r) {
         r.match.path = {PathMatchKind::kRegex, "/("};
       }},
      {"path: ignore_case",
       [](Route& r) {
         r.match.path = {PathMatchKind::kRegex, "/", true};
       }},
      {"header: 'a b' is not a name",
       [](Route& r) {
         r.match.headers = {{"a b", {}}};
       }},
      {"header: ':status' is not a name",
       [](Route& r) {
         r.match.headers = {{":status", {}}};
       }},
      {"header 'x': regular expression '[': missing",
       [](Route& r) {
         r.match.headers = {{"x", {TextMatchKind::kRegex, "["}}};
       }},
      {"query: '' is not a name",
       [](Route& r) {
         r.match.query = {{"", {}}};
       }},
      {"methods: 'G T'", [](Route& r) { r.match.methods = {"G T"}; }},
      {"grpc: service and method",
       [](Route& r) {
         r.match.grpc = {"/a.B", ""};
       }},
      {"grpc: a method needs",
       [](Route& r) {
         r.match.grpc = {"", "M"};
       }},
      {"rewrite: at most one", [](Route& r) { r.rewrite = {.path = "/a", .prefix = "/b"}; }},
      {"rewrite: substitution '\\3'", [](Route& r) { r.rewrite = {.regex = "(a)", .substitution = "\\3"}; }},
      {"rewrite: a substitution needs", [](Route& r) { r.rewrite = {.substitution = "x"}; }},
      {"rewrite: path: 'a' is not", [](Route& r) { r.rewrite = {.path = "a"}; }},
      {"rewrite: host: 'a/b' is not a host", [](Route& r) { r.rewrite = {.host = "a/b"}; }},
      {"rewrite: only for requests that are forwarded",
       [](Route& r) {
         r.action = DirectResponse{};
         r.rewrite = {.path = "/a"};
       }},
      {"redirect: status 200", [](Route& r) { r.action = RedirectAction{.status = 200, .scheme = "https"}; }},
      {"redirect: scheme 'ftp'", [](Route& r) { r.action = RedirectAction{.scheme = "ftp"}; }},
      {"redirect: either path or prefix",
       [](Route& r) { r.action = RedirectAction{.path = "/a", .prefix = "/b"}; }},
      {"redirect: to the very same place", [](Route& r) { r.action = RedirectAction{}; }},
      {"redirect: path: 'x\r\ny'", [](Route& r) { r.action = RedirectAction{.path = "x\r\ny"}; }},
      {"direct response: status 101", [](Route& r) { r.action = DirectResponse{101}; }},
      {"direct response: an answer with status 204",
       [](Route& r) {
         r.action = DirectResponse{204, "x"};
       }},
      {"request_headers: 'a:b' is not the name",
       [](Route& r) {
         r.request_headers = {{HeaderEditKind::kSet, "a:b", "c"}};
       }},
      {"request_headers: 'Transfer-Encoding' is the proxy's own",
       [](Route& r) {
         r.request_headers = {{HeaderEditKind::kRemove, "Transfer-Encoding"}};
       }},
      {"response_headers: 'x' has a value",
       [](Route& r) {
         r.response_headers = {{HeaderEditKind::kAdd, "x", "a\nb: c"}};
       }},
      {"response_headers: 'x' is removed whatever",
       [](Route& r) {
         r.response_headers = {{HeaderEditKind::kRemove, "x", "y"}};
       }},
      {"request_timeout", [](Route& r) { r.policy.request_timeout = std::chrono::seconds(-1); }},
      {"rate_limit: 0 per second",
       [](Route& r) {
         r.policy.rate_limit = {0, 1};
       }},
      {"rate_limit: a burst of 0",
       [](Route& r) {
         r.policy.rate_limit = {1, 0};
       }},
      {"rate_limit_key: without", [](Route& r) { r.policy.rate_limit_key = {{}}; }},
      {"retry: statuses and", [](Route& r) { r.policy.retry = {.on = kRetryStatuses}; }},
      {"retry: status 99", [](Route& r) { r.policy.retry = {.on = kRetryStatuses, .statuses = {99}}; }},
      {"retry: grpc_statuses and", [](Route& r) { r.policy.retry = {.on = kRetryGrpcStatuses}; }},
      {"hash: a header, cookie",
       [](Route& r) {
         r.policy.hash = {{RequestKey::kCookie, ""}};
       }},
      {"hash: a header, cookie",
       [](Route& r) {
         r.policy.hash = {{RequestKey::kPath, "x"}};
       }},
  };
  for (const Case& c : cases) {
    Route route = to("r");
    c.change(route);
    EXPECT_THAT(error_of(route), HasSubstr(c.expected));
  }
}

}  // namespace
}  // namespace sluice
