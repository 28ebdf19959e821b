#include "control/proxy/proxy_config.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "control/proxy/proxy_fields.h"
#include "tests/unit/proxy_text.h"

namespace sluice {
namespace {

using test::ProxyText;
using test::route_of;
using testing::HasSubstr;

TEST(ProxyConfig, TheLeastThatWorksHasDefaults) {
  const auto config = parse_proxy_config(ProxyText().text(), "p.yaml");
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->settings.listeners.size(), 1u);
  EXPECT_TRUE(config->settings.listeners[0].http1_allowed);
  EXPECT_TRUE(config->settings.listeners[0].http2_allowed);
  EXPECT_EQ(config->settings.clusters[0].pick.policy, PickPolicy::kLeastRequest);
  EXPECT_EQ(config->settings.clusters[0].endpoint_connections, 32u);
  EXPECT_EQ(config->care[0].health.kind, HealthCheckKind::kNone);
  EXPECT_FALSE(config->care[0].outlier);
  // Without outlier detection nobody is told of errors in a row.
  EXPECT_EQ(config->settings.clusters[0].streaks, (StreakLimits{0, 0, 0}));
}

TEST(ProxyConfig, LimitsOfAClusterAreOfAllWorkersAndABurstMayWait) {
  ProxyText text;
  text.clusters =
      "clusters:\n  - {name: app, max_requests: 50000, endpoint_connections: 3, max_connections: 70}\n"
      "  - {name: other, protocol: http1, max_pending: 0}\n";
  const auto config = parse_proxy_config(text.text(), "p.yaml");
  ASSERT_TRUE(config) << config.error().message;
  const auto& clusters = config->settings.clusters;
  EXPECT_EQ(clusters[0].circuit, (CircuitLimits{70, 50'000, 50'000})) << "max_pending follows max_requests";
  EXPECT_EQ(clusters[0].endpoint_connections, 3u);
  EXPECT_EQ(clusters[1].circuit, (CircuitLimits{16384, 0, 16384}));
  EXPECT_EQ(clusters[1].endpoint_connections, 1024u);
}

TEST(ProxyConfig, RoutesAreCountedUnlessTheFileSaysNo) {
  ProxyText text;
  EXPECT_TRUE(parse_proxy_config(text.text(), "p.yaml")->settings.count_routes);
  text.proxy = "metrics: {listen: '127.0.0.1:9109', per_route: false}\n";
  EXPECT_FALSE(parse_proxy_config(text.text(), "p.yaml")->settings.count_routes);
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

TEST(ProxyConfig, AListenersAccessLogTakesThePlaceOfTheFiles) {
  const std::string rest =
      "clusters:\n  - {name: app}\n"
      "listeners:\n"
      "  - {name: a, address: 127.0.0.1, port: 1, cluster: app}\n"
      "  - {name: b, address: 127.0.0.1, port: 2, cluster: app, access_log: {to: stdout, json: {o: "
      "'%OUTCOME%'}}}\n"
      "  - {name: c, address: 127.0.0.1, port: 3, cluster: app, access_log: {to: off}}\n";
  auto config = parse_proxy_config(rest, "p.yaml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->settings.listeners[0].access_log, nullptr);
  config = parse_proxy_config(
      "access_log: {to: /a.log, format: json, sample_percent: 0.5, always_failed: false, always_slower_than: "
      "2s}\n" +
          rest,
      "p.yaml");
  ASSERT_TRUE(config) << config.error().message;
  const auto& listeners = config->settings.listeners;
  ASSERT_TRUE(listeners[0].access_log);
  EXPECT_EQ(listeners[0].access_log->to, "/a.log");
  EXPECT_EQ(listeners[0].access_log->filter.sample_per_million, 5000u);
  EXPECT_FALSE(listeners[0].access_log->filter.always_failed);
  EXPECT_EQ(listeners[0].access_log->filter.always_slower_than, std::chrono::seconds(2));
  ASSERT_TRUE(listeners[1].access_log);
  EXPECT_EQ(listeners[1].access_log->to, "stdout");
  EXPECT_EQ(listeners[1].access_log->filter.sample_per_million, 1'000'000u);
  EXPECT_EQ(listeners[2].access_log, nullptr);
}

TEST(ProxyConfig, AccessLogsThatAreNoneAreRefusedWithTheirPlace) {
  const auto error = [](const std::string& log) {
    const auto config = parse_proxy_config("access_log: " + log +
                                               "\nclusters:\n  - {name: app}\nlisteners:\n"
                                               "  - {name: a, address: 127.0.0.1, port: 1, cluster: app}\n",
                                           "p.yaml");
    return config ? "none" : config.error().message;
  };
  EXPECT_THAT(error("{format: json}"), HasSubstr("access_log.to: found nothing"));
  EXPECT_THAT(error("{to: a.log}"),
              HasSubstr("p.yaml:1:18: access_log.to: found 'a.log'; accepted: the path"));
  EXPECT_THAT(
      error("{to: /a, format: '%STATUS%'}"),
      HasSubstr("p.yaml:1:30: access_log.format: found '%STATUS%': at character 1: found unknown field"));
  EXPECT_THAT(error("{to: /a, format: '%OUTCOME%', json: {a: '%OUTCOME%'}}"),
              HasSubstr("found beside format"));
  EXPECT_THAT(error("{to: /a, json: {a: '%OUTCOME%', b: '%REQ%'}}"),
              HasSubstr("p.yaml:1:48: access_log.json: "));
  EXPECT_THAT(error("{to: /a, json: {a: '%OUTCOME%', a: 'x'}}"), HasSubstr("a second member of this name"));
  EXPECT_THAT(error("{to: /a, json: {a: [x]}}"), HasSubstr("a member that is not a name with a format"));
  EXPECT_THAT(error("{to: /a, json: {}}"), HasSubstr("found no member"));
  EXPECT_THAT(error("{to: /a, json: true}"), HasSubstr("access_log.json: found 'true'"));
  for (const char* percent : {"101", "-1", "1e2", "nan", "x", "5%"})
    EXPECT_THAT(error(std::string("{to: /a, sample_percent: ") + percent + "}"),
                HasSubstr("accepted: a number from 0 to 100, such as 0.1"));
}

TEST(ProxyConfig, ARouteIsReadWhole) {
  const auto route = route_of(
      "{name: r, segments: /shop, methods: [GET, POST], headers: [{name: x-a, prefix: b, invert: true}],\n"
      "             clusters: [{cluster: app, weight: 9}, {cluster: app, weight: 1}], rewrite: {prefix: "
      "/s},\n"
      "             request_headers: [{set: x-b, value: c}, {remove: x-d}], request_timeout: 2s, "
      "body_timeout: "
      "3s,\n"
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
  EXPECT_EQ(route->policy.body_timeout, std::chrono::seconds(3));
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

/// What a field is without a setting, as the table of fields, and so the documentation, says.
std::string otherwise(std::string_view path) {
  for (const ConfigField& field : proxy_config_table().fields()) {
    if (field.path == path) return std::string(field.otherwise);
  }
  return {};
}

TEST(ProxyConfig, TheTimesOfAClusterAreReadAndHaveTheDefaultsThatAreDocumented) {
  ProxyText text;
  const auto defaults = parse_proxy_config(text.text(), "p.yaml");
  ASSERT_TRUE(defaults) << defaults.error().message;
  const l7::ClusterSettings& unset = defaults->settings.clusters[0];
  const auto in_seconds = [](std::chrono::milliseconds time) {
    return fmt::format("{}s", time.count() / 1000);
  };
  EXPECT_EQ(in_seconds(unset.connect_timeout), otherwise("clusters[].connect_timeout"));
  EXPECT_EQ(in_seconds(unset.tcp_timeout), otherwise("clusters[].tcp_timeout"));
  EXPECT_EQ(fmt::format("{}ms: off", unset.ping_interval.count()), otherwise("clusters[].ping_interval"));
  EXPECT_EQ(in_seconds(unset.ping_timeout), otherwise("clusters[].ping_timeout"));
  EXPECT_EQ(in_seconds(unset.pending_timeout), otherwise("clusters[].pending_timeout"));
  text.clusters =
      "clusters:\n  - {name: app, connect_timeout: 1ms, tcp_timeout: 2ms, ping_interval: 3ms, "
      "ping_timeout: 4ms, pending_timeout: 5ms}\n";
  const auto config = parse_proxy_config(text.text(), "p.yaml");
  ASSERT_TRUE(config) << config.error().message;
  const l7::ClusterSettings& cluster = config->settings.clusters[0];
  EXPECT_EQ(cluster.connect_timeout.count(), 1);
  EXPECT_EQ(cluster.tcp_timeout.count(), 2);
  EXPECT_EQ(cluster.ping_interval.count(), 3);
  EXPECT_EQ(cluster.ping_timeout.count(), 4);
  EXPECT_EQ(cluster.pending_timeout.count(), 5);
}

TEST(ProxyConfig, TheTimesOfAClusterHaveTheirRanges) {
  struct Range {
    std::string field;
    bool may_be_0;
    uint64_t most_ms;
  };
  for (const auto& [field, may_be_0, most_ms] : {Range{"connect_timeout", false, 600'000},
                                                 {"tcp_timeout", true, 3'600'000},
                                                 {"ping_interval", true, 3'600'000},
                                                 {"ping_timeout", false, 3'600'000},
                                                 {"pending_timeout", false, 600'000}}) {
    const auto error = [&field](uint64_t value) {
      ProxyText text;
      text.clusters = fmt::format("clusters:\n  - {{name: app, {}: {}ms}}\n", field, value);
      return error_of(text);
    };
    const auto refusal = [&field](uint64_t value) {
      return HasSubstr(fmt::format("clusters[0].{}: found '{}ms'; accepted:", field, value));
    };
    if (may_be_0) {
      EXPECT_EQ(error(0), "") << field;
    } else {
      EXPECT_THAT(error(0), refusal(0));
      EXPECT_EQ(error(1), "") << field;
    }
    EXPECT_EQ(error(most_ms), "") << field;
    EXPECT_THAT(error(most_ms + 1), refusal(most_ms + 1));
  }
}

TEST(ProxyConfig, PingsAreForHttp2) {
  ProxyText text;
  text.clusters = "clusters:\n  - {name: app, protocol: http1, ping_interval: 1ms}\n";
  EXPECT_THAT(error_of(text), HasSubstr("p.yaml:4:49: clusters[0].ping_interval: HTTP/1.1 has no PING"));
  text.clusters = "clusters:\n  - {name: app, protocol: http1, ping_interval: 0ms, ping_timeout: 1s}\n";
  EXPECT_EQ(error_of(text), "");
}

TEST(ProxyConfig, LimitsOfClientsAreOnWithoutASetting) {
  const auto config = parse_proxy_config(ProxyText().text(), "p.yaml");
  ASSERT_TRUE(config) << config.error().message;
  const l7::ListenerSettings& listener = config->settings.listeners[0];
  EXPECT_EQ(fmt::format("{}", listener.http2.abuse_limit), otherwise("listeners[].abuse_limit"));
  EXPECT_EQ(fmt::format("{}", listener.http2.cancel_limit), otherwise("listeners[].cancel_limit"));
  EXPECT_EQ(fmt::format("{}s", listener.header_timeout.count() / 1000),
            otherwise("listeners[].header_timeout"));
  EXPECT_EQ(fmt::format("{}m", listener.stall_timeout.count() / 60'000),
            otherwise("listeners[].stall_timeout"));
  EXPECT_EQ(fmt::format("{}s", RoutePolicy().body_timeout.count() / 1000),
            otherwise("listeners[].hosts[].routes[].body_timeout"));
  EXPECT_EQ(fmt::format("{}m", listener.keepalive_timeout.count() / 60'000),
            otherwise("listeners[].keepalive_timeout"));
  EXPECT_EQ(listener.max_client_age.count(), 0);
  EXPECT_EQ(listener.max_client_requests, 0u);
}

TEST(ProxyConfig, LimitsAreRead) {
  ProxyText text;
  text.proxy = "proxy: {memory_limit: 50000000, max_clients: 70}\n";
  text.listeners =
      "listeners:\n  - {name: a, address: 127.0.0.1, port: 80, cluster: app, max_clients: 7, "
      "max_client_memory: "
      "2000000,\n     max_client_age: 1m, max_client_requests: 9, keepalive_timeout: 3s, header_timeout: "
      "4s,\n"
      "     stall_timeout: 5s, abuse_limit: 11, cancel_limit: 12}\n";
  const auto config = parse_proxy_config(text.text(), "p.yaml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->settings.memory_limit, 50'000'000u);
  EXPECT_EQ(config->settings.max_clients, 70u);
  const l7::ListenerSettings& listener = config->settings.listeners[0];
  EXPECT_EQ(listener.max_clients, 7u);
  EXPECT_EQ(listener.max_client_memory, 2'000'000u);
  EXPECT_EQ(listener.max_client_age, std::chrono::minutes(1));
  EXPECT_EQ(listener.max_client_requests, 9u);
  EXPECT_EQ(listener.keepalive_timeout, std::chrono::seconds(3));
  EXPECT_EQ(listener.header_timeout, std::chrono::seconds(4));
  EXPECT_EQ(listener.stall_timeout, std::chrono::seconds(5));
  EXPECT_EQ(listener.http2.abuse_limit, 11);
  EXPECT_EQ(listener.http2.cancel_limit, 12);
  text.proxy = "proxy: {memory_limit: 1000}\n";
  EXPECT_THAT(error_of(text),
              HasSubstr("proxy.memory_limit: found '1000'; accepted: a whole number from 16777216"));
}

TEST(ProxyConfig, TwoListenersDoNotShareAnAddress) {
  ProxyText text;
  text.listeners =
      "listeners:\n  - {name: a, address: 127.0.0.1, port: 80, cluster: app}\n"
      "  - {name: b, address: 127.0.0.1, port: 80, cluster: app}\n";
  EXPECT_THAT(error_of(text),
              HasSubstr("listeners[1].port: found '80': the address and port of listener 'a'"));
  text.listeners.replace(text.listeners.rfind("127.0.0.1"), 9, "127.0.0.2");
  EXPECT_EQ(error_of(text), "");
}

TEST(ProxyConfig, AGroupWithoutAUserIsRefused) {
  ProxyText text;
  text.proxy = "proxy: {group: www-data}\n";
  EXPECT_THAT(error_of(text), HasSubstr("proxy.group: found without user"));
  text.proxy = "proxy: {upgrade_socket: up.sock}\n";
  EXPECT_THAT(error_of(text), HasSubstr("proxy.upgrade_socket: found 'up.sock'; accepted: an absolute path"));
}

}  // namespace
}  // namespace sluice
