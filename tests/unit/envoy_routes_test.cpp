// An Envoy bootstrap's routes: what they match, where they go, what they do on the way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/unit/envoy_text.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::Bootstrap;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(EnvoyBootstrap, WhatARouteMatches) {
  using Kind = PathMatchKind;
  const std::map<std::string, PathMatch> paths{
      {"prefix: /a", {Kind::kPrefix, "/a", false}},
      {"prefix: ''", {Kind::kPrefix, "/", false}},
      {"path: /a, case_sensitive: false", {Kind::kExact, "/a", true}},
      {"path_separated_prefix: /a", {Kind::kSegments, "/a", false}},
      {"safe_regex: {regex: '/a.*'}", {Kind::kRegex, "/a.*", false}},
      {"safe_regex: {google_re2: {}, regex: '/a.*'}", {Kind::kRegex, "/a.*", false}}};
  for (const auto& [match, expected] : paths) {
    Bootstrap text;
    text.match = match;
    EXPECT_EQ(route_of(text).match.path, expected) << match;
  }
  Bootstrap text;
  text.match = "prefix: /, grpc: {}";
  EXPECT_EQ(route_of(text).match.grpc, GrpcMatch{});
  text.match = "headers: []";
  EXPECT_THAT(error_of(text), HasSubstr("match: found no path; accepted: prefix, path, safe_regex"));
  text.match = "prefix: /, path: /";
  EXPECT_THAT(error_of(text), HasSubstr("match.path: found beside prefix"));
  text.match = "prefix: /, runtime_fraction: {}";
  EXPECT_THAT(error_of(text), HasSubstr("match.runtime_fraction: not supported"));
  text.match = "safe_regex: {regex: '('}";
  EXPECT_THAT(error_of(text), HasSubstr("e.yaml:3:5: static_resources.listeners[0]: "));
}

TEST(EnvoyBootstrap, WhatARouteMatchesOfHeadersAndQuery) {
  using Kind = TextMatchKind;
  const std::map<std::string, TextMatch> cases{
      {"string_match: {exact: a}", {Kind::kExact, "a", false, false}},
      {"string_match: {prefix: a, ignore_case: true}", {Kind::kPrefix, "a", true, false}},
      {"string_match: {suffix: a}", {Kind::kSuffix, "a", false, false}},
      {"string_match: {contains: a}", {Kind::kContains, "a", false, false}},
      {"string_match: {safe_regex: {regex: a.}}", {Kind::kRegex, "a.", false, false}},
      {"exact_match: a", {Kind::kExact, "a", false, false}},
      {"prefix_match: a", {Kind::kPrefix, "a", false, false}},
      {"suffix_match: a", {Kind::kSuffix, "a", false, false}},
      {"contains_match: a", {Kind::kContains, "a", false, false}},
      {"safe_regex_match: {regex: a.}", {Kind::kRegex, "a.", false, false}},
      {"present_match: true", {Kind::kPresent, "", false, false}},
      {"present_match: false", {Kind::kPresent, "", false, true}},
      {"present_match: false, invert_match: true", {Kind::kPresent, "", false, false}},
      {"exact_match: a, invert_match: true", {Kind::kExact, "a", false, true}},
      {"", {Kind::kPresent, "", false, false}}};
  for (const auto& [match, expected] : cases) {
    Bootstrap text;
    text.match = "prefix: /, headers: [{name: x-a, " + match + "}]";
    const auto headers = route_of(text).match.headers;
    ASSERT_EQ(headers.size(), 1u);
    EXPECT_EQ(headers[0], (NamedMatch{"x-a", expected})) << match;
  }
  Bootstrap text;
  text.match =
      "prefix: /, query_parameters: [{name: q, string_match: {exact: a}}, {name: r, present_match: true}]";
  const auto query = route_of(text).match.query;
  ASSERT_EQ(query.size(), 2u);
  EXPECT_EQ(query[0], (NamedMatch{"q", {Kind::kExact, "a", false, false}}));
  EXPECT_EQ(query[1], (NamedMatch{"r", {Kind::kPresent, "", false, false}}));
}

TEST(EnvoyBootstrap, WhereARouteGoes) {
  Bootstrap text;
  text.action = "route: {weighted_clusters: {clusters: [{name: app, weight: 9}, {name: app, weight: 1}]}}";
  const auto forward = std::get<ForwardAction>(route_of(text).action);
  EXPECT_EQ(forward.clusters, (std::vector<sluice::WeightedCluster>{{"app", 9}, {"app", 1}}));
  text.action = "route: {cluster: ap}";
  EXPECT_THAT(error_of(text),
              HasSubstr("route.cluster: found 'ap'; there is no such cluster, did you mean 'app'?"));
  text.action = "route: {cluster_header: x}";
  EXPECT_THAT(error_of(text), HasSubstr("route.cluster_header: not supported"));
  text.action =
      "redirect: {https_redirect: true, host_redirect: b, port_redirect: 8443, prefix_rewrite: /n, "
      "response_code: PERMANENT_REDIRECT, strip_query: true}";
  const auto redirect = std::get<RedirectAction>(route_of(text).action);
  EXPECT_EQ(redirect, (RedirectAction{308, "https", "b", uint16_t{8443}, std::nullopt, "/n", true}));
  text.action = "redirect: {scheme_redirect: http, path_redirect: /p}";
  EXPECT_EQ(std::get<RedirectAction>(route_of(text).action).path, "/p");
  text.action = "direct_response: {status: 404, body: {inline_string: no}}";
  EXPECT_EQ(std::get<DirectResponse>(route_of(text).action), (DirectResponse{404, "no", "text/plain"}));
  text.action = "non_forwarding_action: {}";
  EXPECT_THAT(error_of(text), HasSubstr("found no action; accepted: route, redirect or direct_response"));
}

TEST(EnvoyBootstrap, WhatARouteDoesOnTheWay) {
  Bootstrap text;
  text.action =
      "route: {cluster: app, timeout: 0s, idle_timeout: 10s, prefix_rewrite: /v2, host_rewrite_literal: "
      "inner, "
      "max_stream_duration: {grpc_timeout_header_max: 30s}, request_mirror_policies: [{cluster: app, "
      "runtime_fraction: "
      "{default_value: {numerator: 25, denominator: TEN_THOUSAND}}}], hash_policy: [{header: {header_name: "
      "x-user}, "
      "terminal: true}, {cookie: {name: c, ttl: 60s, path: /p}}, {connection_properties: {source_ip: true}}, "
      "{query_parameter: {name: q}}]}";
  const Route route = route_of(text);
  EXPECT_EQ(route.policy.request_timeout, milliseconds(0));
  EXPECT_EQ(route.policy.idle_timeout, seconds(10));
  EXPECT_EQ(route.policy.max_grpc_timeout, seconds(30));
  EXPECT_EQ(route.rewrite.prefix, "/v2");
  EXPECT_EQ(route.rewrite.host, "inner");
  EXPECT_EQ(route.mirrors, (std::vector<Mirror>{{"app", 0.25}}));
  const std::vector<KeyPart> hash{{RequestKey::kHeader, "x-user", true, seconds(-1), "/"},
                                  {RequestKey::kCookie, "c", false, seconds(60), "/p"},
                                  {RequestKey::kSourceAddress, "", false, seconds(-1), "/"},
                                  {RequestKey::kQueryParameter, "q", false, seconds(-1), "/"}};
  EXPECT_EQ(route.policy.hash, hash);
  text.action = "route: {cluster: app, regex_rewrite: {pattern: {regex: '^/a'}, substitution: '/b'}}";
  EXPECT_EQ(route_of(text).rewrite.regex, "^/a");
  EXPECT_EQ(route_of(text).rewrite.substitution, "/b");
  text.action = "route: {cluster: app, timeout: 3s, max_grpc_timeout: 4s}";
  EXPECT_EQ(route_of(text).policy.request_timeout, seconds(3));
  EXPECT_EQ(route_of(text).policy.max_grpc_timeout, seconds(4));
  text.action = "route: {cluster: app, max_grpc_timeout: 0s}";
  EXPECT_EQ(route_of(text).policy.max_grpc_timeout, milliseconds(0));
}

TEST(EnvoyBootstrap, Retries) {
  Bootstrap text;
  text.action =
      "route: {cluster: app, retry_policy: {retry_on: 'gateway-error, retriable-status-codes,unavailable', "
      "num_retries: 4, "
      "per_try_timeout: 2s, retriable_status_codes: [429], retry_back_off: {base_interval: 0.1s}, "
      "retry_host_predicate: "
      "[{name: previous, typed_config: {'@type': "
      "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}]}}";
  const auto retry = route_of(text).policy.retry;
  ASSERT_TRUE(retry);
  EXPECT_EQ(retry->on, kRetryGatewayError | kRetryStatuses | kRetryGrpcStatuses);
  EXPECT_EQ(retry->grpc_statuses, 1u << 14);
  EXPECT_EQ(retry->max_retries, 4u);
  EXPECT_EQ(retry->per_try_timeout, seconds(2));
  EXPECT_THAT(retry->statuses, ElementsAre(429u));
  EXPECT_EQ(retry->backoff, (RetryBackoff{milliseconds(100), seconds(1)}));
  EXPECT_TRUE(retry->any_method);
  text.action = "route: {cluster: app}";
  text.host = "retry_policy: {retry_on: 5xx}";
  const auto inherited = route_of(text).policy.retry;
  ASSERT_TRUE(inherited);
  EXPECT_EQ(inherited->on,
            kRetryServerError | kRetryReset | kRetryRefusedStream | kRetryConnectFailure | kRetryTryTimeout);
  text.host = "retry_policy: {retry_on: reset}";
  EXPECT_EQ(route_of(text).policy.retry->on,
            kRetryReset | kRetryRefusedStream | kRetryConnectFailure | kRetryTryTimeout);
  text.host = "retry_policy: {retry_on: reset-before-request}";
  EXPECT_EQ(route_of(text).policy.retry->on, kRetryRefusedStream | kRetryConnectFailure);
  text.action = "route: {cluster: app, retry_policy: {retry_on: refused-stream}}";
  EXPECT_EQ(route_of(text).policy.retry->on, kRetryRefusedStream) << "that of the route, if it has one";
  text.action = "route: {cluster: app}";
  text.host = "retry_policy: {retry_on: 'reset,retriable-4xx'}";
  EXPECT_THAT(error_of(text), HasSubstr("retry_on: found 'retriable-4xx', which is not supported"));
}

TEST(EnvoyBootstrap, HeadersAreRemovedAndAddedFromTheRouteOutwards) {
  Bootstrap text;
  text.route =
      "request_headers_to_add: [{header: {key: a, value: 100%%}, append: false}, {header: {key: b, value: "
      "x}, append_action: "
      "ADD_IF_ABSENT}], request_headers_to_remove: [c], response_headers_to_add: [{header: {key: d, value: "
      "y}}]";
  text.host = "request_headers_to_add: [{header: {key: e, value: z}}], response_headers_to_remove: [f]";
  const Route route = route_of(text);
  using Kind = HeaderEditKind;
  EXPECT_EQ(route.request_headers, (std::vector<HeaderEdit>{{Kind::kRemove, "c", ""},
                                                            {Kind::kSet, "a", "100%"},
                                                            {Kind::kAddIfAbsent, "b", "x"},
                                                            {Kind::kAdd, "e", "z"}}));
  EXPECT_EQ(route.response_headers,
            (std::vector<HeaderEdit>{{Kind::kAdd, "d", "y"}, {Kind::kRemove, "f", ""}}));
  text.route = "request_headers_to_add: [{header: {key: a, value: '%START_TIME%'}}]";
  EXPECT_THAT(error_of(text), HasSubstr("accepted: a text without %VARIABLES%"));
}

}  // namespace
}  // namespace sluice
