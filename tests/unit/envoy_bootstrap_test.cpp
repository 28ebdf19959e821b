// How an Envoy bootstrap is read, and what one has that says the least.
#include "control/proxy/envoy_bootstrap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "control/proxy/proxy_file.h"
#include "tests/unit/envoy_text.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::Bootstrap;
using test::config_of;
using test::only_cluster;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(EnvoyBootstrap, TheLeastThatWorksHasEnvoysDefaults) {
  const ProxyConfig config = config_of({});
  const auto& listener = config.settings.listeners.at(0);
  EXPECT_EQ(listener.name, "front");
  EXPECT_EQ(listener.port, 8080);
  EXPECT_TRUE(listener.http1_allowed && listener.http2_allowed);
  EXPECT_TRUE(listener.http2.malformed_ends_connection);
  EXPECT_EQ(listener.http2.max_concurrent_streams, 1024u);
  EXPECT_EQ(listener.http2.headers.list_size, 60u * 1024);
  EXPECT_EQ(listener.http2.headers.fields, 100u);
  EXPECT_EQ(listener.http1.headers.fields, 100u);
  EXPECT_FALSE(listener.forwarded_for);
  EXPECT_FALSE(listener.paths.normalize);
  EXPECT_FALSE(listener.http1.websocket);
  EXPECT_FALSE(listener.http2.extended_connect);
  const Route& route = listener.routes.virtual_hosts.at(0).routes.at(0);
  EXPECT_EQ(route.policy.request_timeout, seconds(15));
  EXPECT_EQ(route.policy.idle_timeout, std::chrono::minutes(5));
  EXPECT_EQ(route.policy.body_timeout.count(), 0) << "Envoy waits for a body";
  EXPECT_FALSE(route.policy.max_grpc_timeout);
  EXPECT_FALSE(route.policy.retry);
  const auto& cluster = only_cluster(config);
  EXPECT_EQ(cluster.protocol, l7::HttpVersion::kHttp1);
  EXPECT_EQ(cluster.connect_timeout, seconds(5));
  EXPECT_EQ(cluster.pick.policy, PickPolicy::kRoundRobin);
  EXPECT_EQ(cluster.pick.panic_percent, 50u);
  EXPECT_EQ(cluster.pick.overprovisioning, 1.4);
  EXPECT_EQ(cluster.pending_timeout, seconds(5));
  EXPECT_EQ(cluster.circuit, (CircuitLimits{1024, 1024, 1024}));
  EXPECT_EQ(cluster.retry_budget, (RetryBudget{0, 3}));
  EXPECT_EQ(cluster.streaks, (StreakLimits{0, 0, 0}));
  EXPECT_EQ(cluster.endpoints.at(0).id, (EndpointId{IpAddress::v4(192, 0, 2, 1), 80}));
  EXPECT_EQ(config.care.at(0).health.kind, HealthCheckKind::kNone);
  EXPECT_FALSE(config.care.at(0).outlier);
  EXPECT_EQ(config.settings.workers, 1u);
}

TEST(EnvoyBootstrap, FieldsMayBeInEitherCaseAndNumbersInQuotes) {
  Bootstrap text;
  text.cluster = "connectTimeout: 0.25s, lbPolicy: LEAST_REQUEST, leastRequestLbConfig: {choiceCount: '3'}";
  text.endpoint = "healthCheckConfig: {portValue: 8081.0}";
  const ProxyConfig config = config_of(text);
  EXPECT_EQ(only_cluster(config).connect_timeout, milliseconds(250));
  EXPECT_EQ(only_cluster(config).pick.policy, PickPolicy::kLeastRequest);
  EXPECT_EQ(only_cluster(config).pick.choices, 3u);
  EXPECT_THAT(config.care.at(0).check_ports, ElementsAre(8081));
}

TEST(EnvoyBootstrap, JsonIsTakenToo) {
  const auto read = load_proxy_file({SLUICE_SOURCE_DIR "/tests/unit/envoy/minimal.json", false, 2});
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->config.settings.listeners.at(0).name, "front");
  EXPECT_EQ(read->config.settings.workers, 2u);
}

TEST(EnvoyBootstrap, NullIsNotSet) {
  Bootstrap text;
  text.cluster = "http2_protocol_options: null, outlier_detection: ~, health_checks: null";
  const ProxyConfig config = config_of(text);
  EXPECT_EQ(only_cluster(config).protocol, l7::HttpVersion::kHttp1);
  EXPECT_FALSE(config.care.at(0).outlier);
}

TEST(EnvoyBootstrap, DurationsHaveUpToNineDigits) {
  const std::map<std::string, milliseconds> good{{"0.25s", milliseconds(250)},
                                                 {"3s", seconds(3)},
                                                 {"0.000000001s", milliseconds(1)},
                                                 {"1.5s", milliseconds(1500)}};
  for (const auto& [written, expected] : good) {
    Bootstrap text;
    text.cluster = "connect_timeout: " + written;
    EXPECT_EQ(only_cluster(config_of(text)).connect_timeout, expected) << written;
  }
  for (const char* written : {"5", "250ms", "-1s", "1.s", "1.0000000001s", ".5s", "s", "86401s", "1m"}) {
    Bootstrap text;
    text.cluster = std::string("connect_timeout: ") + written;
    EXPECT_THAT(error_of(text), HasSubstr("accepted: seconds with an s behind them")) << written;
  }
}

TEST(EnvoyBootstrap, ErrorsHaveLineColumnPathAndWhatIsAccepted) {
  const std::string text =
      "static_resources:\n"
      "  clusters:\n"
      "  - name: app\n"
      "    connect_timeout: soon\n"
      "    lb_polcy: RANDOM\n"
      "    lb_subset_config: {}\n"
      "    lb_policy: CLUSTER_PROVIDED\n"
      "    dns_lookup_family: [V4_ONLY]\n"
      "    circuit_breakers: 5\n"
      "    load_assignment: {endpoints: {}}\n";
  const auto read = parse_envoy_bootstrap(text, "e.yaml");
  ASSERT_FALSE(read);
  for (const char* expected :
       {"e.yaml:2:3: static_resources.listeners: found none; accepted: at least one",
        "e.yaml:4:22: static_resources.clusters[0].connect_timeout: found 'soon'; accepted: seconds with an "
        "s",
        "e.yaml:5:5: static_resources.clusters[0].lb_polcy: not supported: sluice-proxy has nothing like it, "
        "or did you "
        "mean 'lb_policy'?",
        "e.yaml:6:5: static_resources.clusters[0].lb_subset_config: not supported: ",
        "e.yaml:7:16: static_resources.clusters[0].lb_policy: found 'CLUSTER_PROVIDED'; accepted: "
        "ROUND_ROBIN, "
        "LEAST_REQUEST, RANDOM, RING_HASH, MAGLEV",
        "e.yaml:8:24: static_resources.clusters[0].dns_lookup_family: found a list; accepted: a single value",
        "e.yaml:9:23: static_resources.clusters[0].circuit_breakers: found '5'; accepted: a map",
        "e.yaml:10:34: static_resources.clusters[0].load_assignment.endpoints: found a map; accepted: a "
        "list"}) {
    EXPECT_THAT(read.error().message, HasSubstr(expected));
  }
}

TEST(EnvoyBootstrap, AFieldIsGivenOnceInWhateverCase) {
  Bootstrap text;
  text.cluster = "connect_timeout: 1s, connectTimeout: 2s";
  EXPECT_THAT(error_of(text), HasSubstr("clusters[0].connect_timeout: found a second time"));
}

TEST(EnvoyBootstrap, WhatIsNotUsedIsWarnedOfWithItsPlace) {
  Bootstrap text;
  text.cluster = "alt_stat_name: other";
  text.top = "layered_runtime: {layers: []}\n";
  const auto read = parsed(text);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_THAT(
      read->warnings,
      ElementsAre(
          HasSubstr("e.yaml:4:"),
          HasSubstr("static_resources.clusters[0].alt_stat_name: not used: metrics carry the cluster's name"),
          "e.yaml:11:1: layered_runtime: not used: there are no runtime values; those of the file hold"));
}

TEST(EnvoyBootstrap, WhatIsNoBootstrapIsToldApart) {
  EXPECT_TRUE(is_envoy_bootstrap("static_resources: {}"));
  EXPECT_TRUE(is_envoy_bootstrap(R"({"staticResources": {}})"));
  EXPECT_FALSE(is_envoy_bootstrap("listeners: []"));
  EXPECT_FALSE(is_envoy_bootstrap("x: static_resources"));
  EXPECT_FALSE(is_envoy_bootstrap(": ["));
  for (const char* text : {"", "[]", "text", "admin: {}"})
    EXPECT_FALSE(parse_envoy_bootstrap(text, "e.yaml")) << text;
}

TEST(EnvoyBootstrap, ATypeThatIsNotExpectedIsNamed) {
  Bootstrap text;
  text.chain = "transport_socket: {name: tls, typed_config: {'@type': type.googleapis.com/envoy.Quic}}";
  EXPECT_THAT(
      error_of(text),
      HasSubstr("transport_socket.typed_config: found @type 'envoy.Quic'; accepted: @type "
                "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"));
}

TEST(EnvoyBootstrap, AdminAndNode) {
  Bootstrap text;
  text.top =
      "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}\nnode: {id: proxy-7, "
      "cluster: c}\n";
  const ProxyConfig config = config_of(text);
  ASSERT_TRUE(config.metrics);
  EXPECT_EQ(config.metrics->port, 9901);
  EXPECT_EQ(config.name, "proxy-7");
  text.top = "dynamic_resources: {}\n";
  EXPECT_THAT(error_of(text), HasSubstr("dynamic_resources: not supported"));
}

}  // namespace
}  // namespace sluice
