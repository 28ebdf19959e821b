// What is refused when a table of routes is built.
#include "lb/l7/route_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/unit/route_site.h"

namespace sluice {
namespace {

using test::kClusters;
using test::to;
using testing::HasSubstr;

std::string error_of(const Route& route) {
  const auto table = RouteTable::build({{{"site", {"*"}, {route}}}}, kClusters);
  return table ? "built" : table.error().message;
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
