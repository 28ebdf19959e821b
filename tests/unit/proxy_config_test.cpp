#include "control/proxy/proxy_config.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "control/proxy/proxy_fields.h"
#include "control/proxy/proxy_metrics.h"
#include "dataplane/l7/outcome.h"

namespace sluice {
namespace {

using testing::HasSubstr;

const std::string kDocs = SLUICE_SOURCE_DIR "/docs/";

/// A correct file, as sections that a test replaces.
struct ProxyText {
  std::string proxy;
  std::string listeners = "listeners:\n  - {name: front, address: 127.0.0.1, port: 8080, cluster: app}\n";
  std::string clusters = "clusters:\n  - {name: app, endpoints: [{address: 192.0.2.1, port: 80}]}\n";
  std::string text() const { return proxy + listeners + clusters; }
};

std::string error_of(const ProxyText& text) {
  const auto config = parse_proxy_config(text.text(), "p.yaml");
  return config ? "" : config.error().message;
}

/// A listener with one route.
std::string with_route(const std::string& route) {
  return "listeners:\n  - name: front\n    address: 127.0.0.1\n    port: 8080\n    hosts:\n"
         "      - name: site\n        domains: ['*']\n        routes:\n          - " +
         route + "\n";
}

Result<Route> route_of(const std::string& route) {
  ProxyText text;
  text.listeners = with_route(route);
  auto config = parse_proxy_config(text.text(), "p.yaml");
  if (!config) return tl::unexpected(config.error());
  return config->settings.listeners[0].routes.virtual_hosts[0].routes[0];
}

TEST(ProxyConfig, TheLeastThatWorksHasDefaults) {
  const auto config = parse_proxy_config(ProxyText().text(), "p.yaml");
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->settings.listeners.size(), 1u);
  EXPECT_TRUE(config->settings.listeners[0].http1_allowed);
  EXPECT_TRUE(config->settings.listeners[0].http2_allowed);
  EXPECT_EQ(config->settings.clusters[0].pick.policy, PickPolicy::kLeastRequest);
  EXPECT_EQ(config->settings.clusters[0].max_connections, 32u);
  EXPECT_EQ(config->care[0].health.kind, HealthCheckKind::kNone);
  EXPECT_FALSE(config->care[0].outlier);
  // Without outlier detection nobody is told of errors in a row.
  EXPECT_EQ(config->settings.clusters[0].streaks, (StreakLimits{0, 0, 0}));
}

TEST(ProxyConfig, ErrorsNamePlaceFieldAndWhatIsAccepted) {
  const std::map<std::string, std::pair<std::string, std::string>> cases{
      {"listeners:\n  - {name: front, address: 127.0.0.1, port: 8080, cluster: ap}\n",
       {"p.yaml:2:60: listeners[0].cluster: found 'ap': no such cluster, did you mean 'app'?",
        "the name of a cluster"}},
      {"listeners:\n  - {name: front, address: 127.0.0.1, port: 0, cluster: app}\n",
       {"listeners[0].port: found '0'", "from 1 to 65535"}},
      {"listeners:\n  - {name: front, address: 127.0.0.1, port: 80}\n",
       {"listeners[0]: found neither cluster nor hosts", "one of cluster and hosts"}},
      {"listeners:\n  - {name: front, address: 127.0.0.1, port: 80, cluster: app, protocols: [http3]}\n",
       {"listeners[0].protocols: found 'http3'", "http1 and http2"}},
      {"listeners: []\n", {"listeners: found a list", "at least one"}},
      {"listeners:\n  - {name: a, address: 127.0.0.1, port: 80, cluster: app}\n"
       "  - {name: a, address: 127.0.0.1, port: 81, cluster: app}\n",
       {"listeners[1].name: found 'a': the name of another one in line 2", "letters"}},
  };
  for (const auto& [listeners, expected] : cases) {
    ProxyText text;
    text.listeners = listeners;
    EXPECT_THAT(error_of(text), HasSubstr(expected.first));
    EXPECT_THAT(error_of(text), HasSubstr(expected.second));
  }
}

TEST(ProxyConfig, AnEndpointIsListedOnce) {
  ProxyText text;
  text.clusters =
      "clusters:\n  - {name: app, endpoints: [{address: 192.0.2.1, port: 80}, {address: 192.0.2.1, port: "
      "80}]}\n";
  EXPECT_THAT(error_of(text), HasSubstr("found 192.0.2.1:80 a second time"));
}

TEST(ProxyConfig, CoresGiveTheNumberOfWorkers) {
  ProxyText text;
  text.proxy = "proxy: {cores: [2, 3, 5]}\n";
  const auto config = parse_proxy_config(text.text(), "p.yaml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->settings.workers, 3u);
  EXPECT_EQ(config->settings.cpus, (std::vector<int>{2, 3, 5}));
  text.proxy = "proxy: {cores: [2], workers: 2}\n";
  EXPECT_THAT(error_of(text), HasSubstr("found beside cores"));
}

TEST(ProxyConfig, EndpointsAreCheckedAtTheirHealthPort) {
  ProxyText text;
  text.clusters =
      "clusters:\n  - name: app\n    health: {kind: http, port: 9000}\n    endpoints:\n"
      "      - {address: 192.0.2.1, port: 80}\n      - {address: 192.0.2.2, port: 80, health_port: 9001}\n";
  const auto config = parse_proxy_config(text.text(), "p.yaml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->care[0].check_ports, (std::vector<uint16_t>{9000, 9001}));
}

TEST(ProxyConfig, WhatIsAboutSluicedsTunnelIsNoFieldOfAProxy) {
  ProxyText text;
  text.clusters = "clusters:\n  - {name: app, health: {kind: http, via: tunnel}}\n";
  EXPECT_THAT(error_of(text), HasSubstr("found unknown field 'via'"));
}

TEST(ProxyConfig, OutlierLimitsReachTheWorkers) {
  ProxyText text;
  text.clusters = "clusters:\n  - {name: app, outlier: {server_errors: 7, connect_failures: 0}}\n";
  const auto config = parse_proxy_config(text.text(), "p.yaml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->settings.clusters[0].streaks, (StreakLimits{7, 0, 0}));
  EXPECT_EQ(config->care[0].outlier->streaks, config->settings.clusters[0].streaks);
}

TEST(ProxyConfig, TlsOffersWhatTheListenerSpeaks) {
  ProxyText text;
  text.listeners =
      "listeners:\n  - {name: front, address: 127.0.0.1, port: 8443, cluster: app, protocols: [http1],\n"
      "     tls: {min_version: '1.3', certificates: [{certificate: /c.pem, key: /k.pem}]}}\n";
  const auto config = parse_proxy_config(text.text(), "p.yaml");
  ASSERT_TRUE(config) << config.error().message;
  const auto& tls = config->settings.listeners[0].tls;
  ASSERT_TRUE(tls);
  EXPECT_EQ(tls->protocols, (std::vector<std::string>{"http/1.1"}));
  EXPECT_EQ(tls->min_version, l7::TlsVersion::kTls13);
  EXPECT_TRUE(config->settings.listeners[0].http1.secure);
}

TEST(ProxyConfig, ARouteIsReadWhole) {
  const auto route = route_of(
      "{name: r, segments: /shop, methods: [GET, POST], headers: [{name: x-a, prefix: b, invert: true}],\n"
      "             clusters: [{cluster: app, weight: 9}, {cluster: app, weight: 1}], rewrite: {prefix: "
      "/s},\n"
      "             request_headers: [{set: x-b, value: c}, {remove: x-d}], request_timeout: 2s,\n"
      "             retry: {on: [reset, 5xx], statuses: [409], grpc_statuses: [UNAVAILABLE, ABORTED], "
      "max_retries: 3},\n"
      "             rate_limit: {per_second: 5, burst: 9, by: [{header: x-key}]},\n"
      "             hash: [{cookie: id, cookie_ttl: 60s, terminal: true}, {source_address: true}]}");
  ASSERT_TRUE(route) << route.error().message;
  EXPECT_EQ(route->match.path, (PathMatch{PathMatchKind::kSegments, "/shop", false}));
  EXPECT_EQ(route->match.methods, (std::vector<std::string>{"GET", "POST"}));
  EXPECT_EQ(route->match.headers[0], (NamedMatch{"x-a", {TextMatchKind::kPrefix, "b", false, true}}));
  EXPECT_EQ(std::get<ForwardAction>(route->action).clusters[0], (WeightedCluster{"app", 9}));
  EXPECT_EQ(route->rewrite.prefix, "/s");
  EXPECT_EQ(route->request_headers[1], (HeaderEdit{HeaderEditKind::kRemove, "x-d", ""}));
  EXPECT_EQ(route->policy.request_timeout, std::chrono::seconds(2));
  EXPECT_EQ(route->policy.retry->on, kRetryReset | kRetryServerError | kRetryStatuses | kRetryGrpcStatuses);
  EXPECT_EQ(route->policy.retry->grpc_statuses, 1u << 14 | 1u << 10);
  EXPECT_EQ(route->policy.rate_limit, (RateLimit{5, 9}));
  EXPECT_EQ(route->policy.rate_limit_key[0].name, "x-key");
  EXPECT_EQ(route->policy.hash[0].cookie_ttl, std::chrono::seconds(60));
  EXPECT_EQ(route->policy.hash[1].key, RequestKey::kSourceAddress);
}

TEST(ProxyConfig, RoutesWithoutOrWithTwoActionsAreRefused) {
  EXPECT_THAT(route_of("{prefix: /}").error().message,
              HasSubstr("found no action; accepted: one of cluster, clusters, redirect, respond"));
  EXPECT_THAT(route_of("{cluster: app, respond: {status: 200}}").error().message,
              HasSubstr("found beside cluster"));
  EXPECT_THAT(route_of("{prefix: /a, regex: b, cluster: app}").error().message,
              HasSubstr("found beside prefix"));
  EXPECT_THAT(route_of("{cluster: app, retry: {on: [sometimes]}}").error().message,
              HasSubstr("retry.on: found 'sometimes'"));
  EXPECT_THAT(route_of("{clusters: [{cluster: apq}]}").error().message, HasSubstr("did you mean 'app'?"));
}

TEST(ProxyConfig, ARegularExpressionThatIsNoneIsRefused) {
  EXPECT_THAT(route_of("{regex: '(', cluster: app}").error().message, HasSubstr("p.yaml:"));
}

/// The rows of a page's tables, by the text in their first cell.
std::map<std::string, std::string> documented(const std::string& page) {
  std::map<std::string, std::string> rows;
  std::ifstream file(kDocs + page);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("| `")) rows[line.substr(3, line.find('`', 3) - 3)] = line;
  }
  return rows;
}

TEST(ProxyConfigDocs, ListEveryFieldAsTheCodeHasItAndNoOther) {
  auto rows = documented("proxy-configuration.md");
  for (const ConfigField& field : proxy_config_table().fields()) {
    const std::string expected = fmt::format("| `{}` | {} | {} | {} |", field.path, field.accepted_text(),
                                             field.otherwise, field.help);
    EXPECT_EQ(rows[std::string(field.path)], expected);
    rows.erase(std::string(field.path));
  }
  for (const auto& [path, row] : rows) ADD_FAILURE() << "no such field in the code: " << row;
}

TEST(ProxyDocs, ListEveryMetricAsTheCodeHasItAndNoOther) {
  auto rows = documented("proxy-metrics.md");
  for (const Metric& metric : proxy_metrics()) {
    EXPECT_EQ(rows[std::string(metric.name)],
              fmt::format("| `{}` | {} | {} | {} |", metric.name, metric_kind_name(metric.kind),
                          metric.labels, metric.help));
    rows.erase(std::string(metric.name));
  }
  EXPECT_TRUE(rows.empty()) << rows.begin()->second;
}

TEST(ProxyDocs, ListEveryOutcomeAsTheCodeHasItAndNoOther) {
  auto rows = documented("l7-outcomes.md");
  for (const l7::OutcomeText& outcome : l7::kOutcomeTexts) {
    const auto code = [&](unsigned number) {
      return outcome.status == 0 ? std::string("-") : std::to_string(number);
    };
    EXPECT_EQ(rows[std::string(outcome.name)],
              fmt::format("| `{}` | {} | {} | {} |", outcome.name, outcome.help, code(outcome.status),
                          code(outcome.grpc_status)));
    rows.erase(std::string(outcome.name));
  }
  EXPECT_TRUE(rows.empty()) << rows.begin()->second;
}

TEST(ProxyConfigDocs, TheExampleIsGood) {
  const auto config = load_proxy_config(kDocs + "examples/proxy.yaml");
  EXPECT_TRUE(config) << config.error().message;
}

}  // namespace
}  // namespace sluice
