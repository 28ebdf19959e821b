// What a route does with the request that has taken it.
#include <gtest/gtest.h>

#include "tests/unit/route_site.h"

namespace sluice {
namespace {

using test::kClusters;
using test::one_host;
using test::path;
using test::to;

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

}  // namespace
}  // namespace sluice
