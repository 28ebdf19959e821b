#include "control/proxy/proxy_config.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

#include "control/proxy/discoveries.h"
#include "control/proxy/endpoint_file.h"
#include "control/proxy/proxy_fields.h"
#include "control/proxy/proxy_metrics.h"
#include "dataplane/l7/defence.h"
#include "dataplane/l7/outcome.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

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

/// A file whose only cluster has this discovery.
ProxyText with_discovery(const std::string& discovery) {
  ProxyText text;
  text.clusters = "clusters:\n  - name: app\n    discovery: {" + discovery + "}\n";
  return text;
}

TEST(ProxyConfig, NamesWhoseAddressesAreEndpoints) {
  const auto config = parse_proxy_config(
      with_discovery(
          "kind: dns, family: both, servers: ['192.0.2.53:53', '[2001:db8::53]:5353'], when_empty: "
          "remove,\n    min_refresh: 1s, max_refresh: 1s, names: [{name: app.example., port: 80, "
          "weight: 3, zone: a}, {srv: _grpc._tcp.app, priority: 1}]")
          .text(),
      "p.yaml");
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_TRUE(config->care[0].discovery);
  const auto& dns = std::get<DnsDiscovery>(*config->care[0].discovery);
  ASSERT_EQ(dns.names.size(), 2u);
  EXPECT_EQ(dns.names[0].name, "app.example.");
  EXPECT_FALSE(dns.names[0].is_service);
  EXPECT_EQ(dns.names[0].like.id.port, 80);
  EXPECT_EQ(dns.names[0].like.weight, 3u);
  EXPECT_EQ(dns.names[0].like.zone, "a");
  EXPECT_TRUE(dns.names[1].is_service);
  EXPECT_EQ(dns.names[1].like.priority, 1u);
  EXPECT_EQ(dns.families, DnsFamilies::kBoth);
  ASSERT_EQ(dns.servers.size(), 2u);
  EXPECT_EQ(dns.servers[1].port, 5353);
  EXPECT_FALSE(dns.keep_when_empty);
  EXPECT_EQ(dns.refresh.max_refresh, std::chrono::seconds(1));
}

TEST(ProxyConfig, DiscoveryFromAFile) {
  const auto config = parse_proxy_config(with_discovery("kind: file, path: /etc/app.yaml").text(), "p.yaml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(std::get<FileDiscovery>(*config->care[0].discovery).path, "/etc/app.yaml");
}

TEST(ProxyConfig, DiscoveryErrorsSayWhatIsAccepted) {
  const std::string names = ", names: [{name: a, port: 1}]";
  const std::map<std::string, std::string> cases{
      {"path: /x", "clusters[0].discovery.kind: found nothing; accepted: dns or file"},
      {"kind: consul", "clusters[0].discovery.kind: found 'consul'; accepted: dns or file"},
      {"kind: dns", "clusters[0].discovery: found no names; accepted: kind dns with names"},
      {"kind: dns, names: []",
       "clusters[0].discovery.names: found a list; accepted: a list of maps, at least"},
      {"kind: dns, names: [{port: 80}]", "found neither name nor srv; accepted: one of name and srv"},
      {"kind: dns, names: [{name: a, srv: b, port: 80}]", "found both name and srv"},
      {"kind: dns, names: [{name: a}]", "found no port; accepted: name with a port, or srv"},
      {"kind: dns, names: [{srv: a, port: 80}]", "names[0].port: found beside srv"},
      {"kind: dns, names: [{srv: a, weight: 2}]", "names[0].weight: found beside srv"},
      {"kind: dns, names: [{name: 'a b', port: 80}]", "names[0].name: found 'a b'; accepted: a DNS name"},
      {"kind: dns, names: [{name: a..b, port: 80}]", "names[0].name: found 'a..b'"},
      {"kind: dns, names: [{name: ., port: 80}]", "names[0].name: found '.'"},
      {"kind: dns, names: [{name: " + std::string(64, 'a') + ", port: 80}]", "names[0].name: found 'aaa"},
      {"kind: dns, servers: [192.0.2.53]" + names, "servers: found '192.0.2.53'"},
      {"kind: dns, servers: ['0.0.0.0:53']" + names, "servers: found '0.0.0.0:53'"},
      {"kind: dns, servers: []" + names, "servers: found a list"},
      {"kind: dns, min_refresh: 10m" + names, "min_refresh: found 600000 ms, more than the 300000 ms of max"},
      {"kind: dns, failure_max: 20ms" + names, "failure_base: found 1000 ms, more than the 20 ms of failure"},
      {"kind: dns, path: /x" + names, "path: found with kind dns, which has no such field"},
      {"kind: file, path: /x, servers: ['192.0.2.53:53']", "servers: found with kind file"},
      {"kind: file", "clusters[0].discovery: found no path"},
      {"kind: file, path: x.yaml", "path: found 'x.yaml'; accepted: an absolute path"},
  };
  for (const auto& [discovery, expected] : cases)
    EXPECT_THAT(error_of(with_discovery(discovery)), HasSubstr(expected));
  ProxyText both = with_discovery("kind: file, path: /x");
  both.clusters += "    endpoints: [{address: 192.0.2.1, port: 80}]\n";
  EXPECT_THAT(error_of(both),
              HasSubstr("p.yaml:5:16: clusters[0].discovery: found beside endpoints; accepted: one of"));
}

TEST(EndpointFile, HasTheFieldsOfListedEndpoints) {
  const auto found = parse_endpoint_file(
      "endpoints:\n  - {address: 192.0.2.2, port: 80, weight: 3, zone: a, priority: 1, health_port: 81}\n"
      "  - {address: '2001:db8::1', port: 80}\n",
      "e.yaml", uint16_t{99});
  ASSERT_TRUE(found) << found.error().message;
  ASSERT_EQ(found->endpoints.size(), 2u);
  EXPECT_EQ(found->endpoints[0].weight, 3u);
  EXPECT_EQ(found->endpoints[0].zone, "a");
  EXPECT_EQ(found->endpoints[0].priority, 1u);
  EXPECT_EQ(found->check_ports, (std::vector<uint16_t>{81, 99}));
  const auto none = parse_endpoint_file("{\"endpoints\": []}", "e.json", {});
  ASSERT_TRUE(none) << none.error().message;
  EXPECT_TRUE(none->endpoints.empty());
}

TEST(EndpointFile, IsTakenWholeOrNotAtAll) {
  const std::map<std::string, std::string> cases{
      {"", "e.yaml: the file holds nothing; accepted: a list endpoints"},
      {"endpoints:\n", "e.yaml:2:1: endpoints: found nothing; accepted: a list of maps"},
      {"[]", "e.yaml:1:1: found a list; accepted: a map"},
      {"{}", "e.yaml:1:1: endpoints: found nothing; accepted: a list of maps"},
      {"endpoint: []", "e.yaml:1:1: found unknown field 'endpoint', did you mean 'endpoints'?"},
      {"endpoints: [{address: 192.0.2.1}]", "e.yaml:1:13: endpoints[0].port: found nothing"},
      {"endpoints: [{address: host, port: 80}]", "endpoints[0].address: found 'host'"},
      {"endpoints: [{address: 192.0.2.1, port: 80}, {address: 192.0.2.1, port: 80}]",
       "endpoints[1]: found 192.0.2.1:80 a second time"},
      {"endpoints: [{address: 192.0.2.1, port: 80}", "e.yaml:1:"},
  };
  for (const auto& [text, expected] : cases) {
    const auto found = parse_endpoint_file(text, "e.yaml", {});
    ASSERT_FALSE(found) << text;
    EXPECT_THAT(found.error().message, HasSubstr(expected));
  }
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

Result<ProxyConfig> with_tracing(const std::string& fields) {
  ProxyText text;
  text.proxy = "tracing: {" + fields + "}\n";
  return parse_proxy_config(text.text(), "p.yaml");
}

TEST(ProxyConfig, TracingIsReadWhole) {
  const auto off = parse_proxy_config(ProxyText().text(), "p.yaml");
  ASSERT_TRUE(off);
  EXPECT_FALSE(off->tracing);
  EXPECT_FALSE(off->settings.tracing);

  const auto least = with_tracing("endpoint: 'http://collector:4318'");
  ASSERT_TRUE(least) << least.error().message;
  EXPECT_EQ(*least->tracing, (OtlpSettings{"collector", 4318, "/v1/traces", "sluice-proxy", 10s, {}}));
  EXPECT_TRUE(least->settings.tracing->follow_clients);
  EXPECT_EQ(least->settings.tracing->sample, SampleRatio::of_percent(100));

  const auto all = with_tracing(
      "endpoint: 'http://[::1]:99/otlp/v1?x=1', service_name: edge, sample_percent: 0.5, follow_clients: "
      "false, "
      "timeout: 2s, headers: [{name: X-Key, value: 'a b'}]");
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(*all->tracing, (OtlpSettings{"::1", 99, "/otlp/v1?x=1", "edge", 2s, {{"x-key", "a b"}}}));
  EXPECT_FALSE(all->settings.tracing->follow_clients);
  EXPECT_EQ(all->settings.tracing->sample, SampleRatio::of_percent(0.5));
}

TEST(ProxyConfig, TracingThatIsWrongIsRefusedWithItsPlace) {
  const std::map<std::string, std::pair<std::string, std::string>> cases{
      {"sample_percent: 1", {"p.yaml:1:10: tracing.endpoint: found nothing", "http://HOST:PORT"}},
      {"endpoint: 'https://c:1'",
       {"p.yaml:1:21: tracing.endpoint: found 'https://c:1'", "TLS to a collector"}},
      {"endpoint: 'http://c'", {"tracing.endpoint: found 'http://c'", "without a port"}},
      {"endpoint: 'http://c:0'", {"tracing.endpoint", "http://HOST:PORT"}},
      {"endpoint: 'http://:80'", {"tracing.endpoint", "http://HOST:PORT"}},
      {"endpoint: 'http://a b:80'", {"tracing.endpoint", "http://HOST:PORT"}},
      {"endpoint: 'http://user@c:80'", {"tracing.endpoint", "http://HOST:PORT"}},
      {"endpoint: 'http://[c]:80'", {"tracing.endpoint", "http://HOST:PORT"}},
      {"endpoint: 'http://::1'", {"tracing.endpoint", "http://HOST:PORT"}},
      {"endpoint: c:4317", {"tracing.endpoint", "http://HOST:PORT"}},
      {"endpoint: 'http://c:1', sample_percent: 101", {"tracing.sample_percent: found '101'", "0 to 100"}},
      {"endpoint: 'http://c:1', sample_percent: nan", {"tracing.sample_percent: found 'nan'", "0 to 100"}},
      {"endpoint: 'http://c:1', timeout: 1ms", {"tracing.timeout: found '1ms'", "100ms"}},
      {"endpoint: 'http://c:1', service_name: ''", {"tracing.service_name", "1 to 255"}},
      {"endpoint: 'http://c:1', headers: [{name: 'a b', value: c}]",
       {"tracing.headers[0].name", "header field"}},
      {"endpoint: 'http://c:1', headers: [{name: Host, value: c}]",
       {"tracing.headers[0].name", "proxy sets"}},
      {"endpoint: 'http://c:1', headers: [{name: a, value: \"b\\r\\nc\"}]",
       {"tracing.headers[0].value", "visible"}},
      {"endpoint: 'http://c:1', headers: [{name: a}]", {"tracing.headers[0]", "value"}},
  };
  for (const auto& [fields, expected] : cases) {
    const auto config = with_tracing(fields);
    ASSERT_FALSE(config) << fields;
    EXPECT_THAT(config.error().message, HasSubstr(expected.first)) << fields;
    EXPECT_THAT(config.error().message, HasSubstr(expected.second)) << fields;
  }
}

TEST(ProxyConfig, ListenersAndRoutesHaveSharesOfTracesOfTheirOwn) {
  ProxyText text;
  text.listeners = with_route("{cluster: app, trace_percent: 12.5}");
  text.listeners.insert(text.listeners.find("    port:"), "    trace_percent: 0\n");
  const auto config = parse_proxy_config(text.text(), "p.yaml");
  ASSERT_TRUE(config) << config.error().message;
  const auto& listener = config->settings.listeners[0];
  EXPECT_EQ(listener.trace_sample, SampleRatio::of_percent(0));
  EXPECT_EQ(listener.routes.virtual_hosts[0].routes[0].policy.trace_sample, SampleRatio::of_percent(12.5));
  EXPECT_FALSE(route_of("{cluster: app}")->policy.trace_sample);
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

TEST(DiscoveryDocs, ListEveryEventAndEveryFieldOfAFileAsTheCodeHasThemAndNoOther) {
  auto rows = documented("discovery.md");
  for (const control::DiscoveryEvent& event : control::discovery_events()) {
    EXPECT_EQ(rows[std::string(event.name)], fmt::format("| `{}` | {} |", event.name, event.help));
    rows.erase(std::string(event.name));
  }
  for (const ConfigField& field : endpoint_file_table().fields()) {
    EXPECT_EQ(rows[std::string(field.path)], fmt::format("| `{}` | {} | {} | {} |", field.path,
                                                         field.accepted_text(), field.otherwise, field.help));
    rows.erase(std::string(field.path));
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

TEST(ProxyDocs, ListEveryDefenceAsTheCodeHasItAndNoOther) {
  auto rows = documented("l7-defences.md");
  for (size_t i = 1; i < l7::kDefences; ++i) {
    const l7::DefenceText& defence = l7::kDefenceTexts[i];
    constexpr std::array<std::string_view, 3> kSides{"clients", "endpoints", "both"};
    // A limit is a field, with its default, or words.
    std::string limit = fmt::format("{} | -", defence.limit);
    for (const ConfigField& field : proxy_config_table().fields()) {
      if (field.path == defence.limit) limit = fmt::format("`{}` | {}", field.path, field.otherwise);
    }
    EXPECT_EQ(rows[std::string(defence.name)],
              fmt::format("| `{}` | {} | {} | {} | {} |", defence.name,
                          kSides[static_cast<size_t>(defence.side)], defence.what, defence.then, limit));
    rows.erase(std::string(defence.name));
  }
  EXPECT_TRUE(rows.empty()) << rows.begin()->second;
}

TEST(ProxyConfig, LimitsOfClientsAreOnWithoutASetting) {
  const auto config = parse_proxy_config(ProxyText().text(), "p.yaml");
  ASSERT_TRUE(config) << config.error().message;
  const l7::ListenerSettings& listener = config->settings.listeners[0];
  // As the table of fields, and so the documentation, says.
  const auto otherwise = [](std::string_view path) {
    for (const ConfigField& field : proxy_config_table().fields()) {
      if (field.path == path) return std::string(field.otherwise);
    }
    return std::string();
  };
  EXPECT_EQ(fmt::format("{}", listener.http2.abuse_limit), otherwise("listeners[].abuse_limit"));
  EXPECT_EQ(fmt::format("{}", listener.http2.cancel_limit), otherwise("listeners[].cancel_limit"));
  EXPECT_EQ(fmt::format("{}s", listener.header_timeout.count() / 1000),
            otherwise("listeners[].header_timeout"));
  EXPECT_EQ(fmt::format("{}m", listener.stall_timeout.count() / 60'000),
            otherwise("listeners[].stall_timeout"));
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

/// The events that the sources of control/proxy write.
std::set<std::string> events_in_code() {
  std::set<std::string> events;
  for (const auto& file : std::filesystem::directory_iterator(SLUICE_SOURCE_DIR "/control/proxy")) {
    std::ifstream source(file.path());
    const std::string text{std::istreambuf_iterator<char>(source), {}};
    constexpr std::string_view kEvent = "\"event=";
    for (size_t at = text.find(kEvent); at != std::string::npos; at = text.find(kEvent, at)) {
      at += kEvent.size();
      const size_t end = text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_", at);
      if (end > at) events.insert(text.substr(at, end - at));
    }
  }
  return events;
}

TEST(ProxyDocs, ListEveryLogEventOfTheCodeAndNoOther) {
  std::set<std::string> listed;
  std::ifstream page(kDocs + "logs.md");
  std::string line;
  while (std::getline(page, line) && line != "## What sluice-proxy says") {
  }
  for (; std::getline(page, line) && !line.starts_with("## ");) {
    if (line.starts_with("| `")) listed.insert(line.substr(3, line.find('`', 3) - 3));
  }
  EXPECT_EQ(listed, events_in_code());
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

TEST(ProxyConfigDocs, TheExampleIsGood) {
  const auto config = load_proxy_config(kDocs + "examples/proxy.yaml");
  EXPECT_TRUE(config) << config.error().message;
}

}  // namespace
}  // namespace sluice
