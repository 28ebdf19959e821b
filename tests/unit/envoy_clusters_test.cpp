// An Envoy bootstrap's clusters: their endpoints, policies and numbers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/unit/envoy_text.h"

namespace sluice {
namespace {

using std::chrono::seconds;
using test::Bootstrap;
using test::config_of;
using test::only_cluster;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(EnvoyBootstrap, WhatEndpointsAreSpokenToIn) {
  using l7::HttpVersion;
  const std::string options =
      "typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {'@type': "
      "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, ";
  const std::map<std::string, HttpVersion> cases{
      {"http2_protocol_options: {}", HttpVersion::kHttp2},
      {options + "explicit_http_config: {http2_protocol_options: {}}}}", HttpVersion::kHttp2},
      {options + "explicit_http_config: {http_protocol_options: {}}}}", HttpVersion::kHttp1},
      {"connect_timeout: 1s", HttpVersion::kHttp1}};
  for (const auto& [cluster, expected] : cases) {
    Bootstrap text;
    text.cluster = cluster;
    EXPECT_EQ(only_cluster(config_of(text)).protocol, expected) << cluster;
  }
  Bootstrap text;
  text.cluster = options +
                 "explicit_http_config: {http2_protocol_options: "
                 "{override_stream_error_on_invalid_http_message: true}}}}";
  EXPECT_FALSE(only_cluster(config_of(text)).http2.malformed_ends_connection);
  text.cluster = options + "use_downstream_protocol_config: {}}}";
  EXPECT_THAT(error_of(text), HasSubstr("use_downstream_protocol_config: not supported"));
}

TEST(EnvoyBootstrap, EndpointsAreAskedAsConnectionKeepaliveSays) {
  Bootstrap text;
  text.cluster = "http2_protocol_options: {connection_keepalive: {interval: 30s, timeout: 2s}}";
  const ProxyConfig config = config_of(text);
  const auto& cluster = only_cluster(config);
  EXPECT_EQ(cluster.ping_interval, seconds(30));
  EXPECT_EQ(cluster.ping_timeout, seconds(2));
  text.cluster = "http2_protocol_options: {connection_keepalive: {interval: 30s}}";
  EXPECT_THAT(error_of(text), HasSubstr("connection_keepalive.timeout: found nothing"));
  text.cluster = "http2_protocol_options: {connection_keepalive: {timeout: 2s}}";
  EXPECT_EQ(only_cluster(config_of(text)).ping_interval, seconds(0));
  for (const std::string field : {"interval", "timeout"}) {
    const std::string other = field == "interval" ? "timeout" : "interval";
    text.cluster =
        "http2_protocol_options: {connection_keepalive: {" + field + ": 0s, " + other + ": 0.001s}}";
    EXPECT_THAT(error_of(text),
                HasSubstr("connection_keepalive." + field + ": found '0s'; accepted: at least 0.001s"));
  }
}

TEST(EnvoyBootstrap, AnHttp1EndpointIsSentNoPing) {
  // Where both are given the newer field counts.
  Bootstrap text;
  text.cluster =
      "http2_protocol_options: {connection_keepalive: {interval: 30s, timeout: 2s}}, "
      "typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {'@type': "
      "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: "
      "{http_protocol_options: {}}}}";
  const ProxyConfig config = config_of(text);
  EXPECT_EQ(only_cluster(config).protocol, l7::HttpVersion::kHttp1);
  EXPECT_EQ(only_cluster(config).ping_interval, seconds(0));
}

TEST(EnvoyBootstrap, PoliciesAndTheirNumbers) {
  Bootstrap text;
  text.cluster =
      "lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 2048, maximum_ring_size: 4096}, "
      "common_lb_config: {healthy_panic_threshold: {value: 0}}, circuit_breakers: {thresholds: "
      "[{max_connections: 7, "
      "max_pending_requests: 8, max_requests: 9, max_retries: 10}]}";
  const ProxyConfig ring = config_of(text);
  EXPECT_EQ(only_cluster(ring).pick.policy, PickPolicy::kRingHash);
  EXPECT_EQ(only_cluster(ring).pick.ring_min, 2048u);
  EXPECT_EQ(only_cluster(ring).pick.ring_max, 4096u);
  EXPECT_EQ(only_cluster(ring).pick.panic_percent, 0u);
  EXPECT_EQ(only_cluster(ring).circuit, (CircuitLimits{7, 8, 9}));
  EXPECT_EQ(only_cluster(ring).retry_budget, (RetryBudget{0, 10}));
  text.cluster =
      "round_robin_lb_config: {slow_start_config: {slow_start_window: 30s, min_weight_percent: {value: "
      "20}}}, "
      "circuit_breakers: {thresholds: [{priority: HIGH, max_requests: 1}, {retry_budget: {budget_percent: "
      "{value: 25}, "
      "min_retry_concurrency: 5}}]}";
  const ProxyConfig slow = config_of(text);
  EXPECT_EQ(only_cluster(slow).pick.slow_start, (SlowStart{seconds(30), 1.0, 20.0}));
  EXPECT_EQ(only_cluster(slow).circuit.requests, 1024u);
  EXPECT_EQ(only_cluster(slow).retry_budget, (RetryBudget{25, 5}));
  text.cluster = "lb_policy: MAGLEV, maglev_lb_config: {table_size: 65536}";
  EXPECT_THAT(error_of(text), HasSubstr("static_resources.clusters[0]: maglev_size"));
}

TEST(EnvoyBootstrap, Endpoints) {
  Bootstrap text;
  text.lb_endpoint = "load_balancing_weight: 3, health_status: DRAINING";
  text.endpoint = "health_check_config: {port_value: 8081}";
  const ProxyConfig config = config_of(text);
  const Endpoint& endpoint = only_cluster(config).endpoints.at(0);
  EXPECT_EQ(endpoint.weight, 3u);
  EXPECT_TRUE(endpoint.draining);
  EXPECT_THAT(config.care.at(0).check_ports, ElementsAre(8081));
  // Turns go by weights if there are any.
  EXPECT_EQ(only_cluster(config).pick.policy, PickPolicy::kWeightedRoundRobin);
  text = {};
  text.address = "app.internal";
  EXPECT_THAT(error_of(text),
              HasSubstr("found 'app.internal'; accepted: an IPv4 or IPv6 address, or type STRICT_DNS"));
  text.cluster = "hosts: []";
  EXPECT_THAT(error_of(text), HasSubstr("clusters[0].hosts: not supported"));
  text.cluster = "type: EDS";
  EXPECT_THAT(error_of(text), HasSubstr("clusters[0].type: found 'EDS'; accepted: STATIC, STRICT_DNS"));
}

TEST(EnvoyBootstrap, LocalitiesAndHowMuchIsTooLittle) {
  Bootstrap text;
  text.locality = "priority: 2, locality: {zone: west}";
  text.assignment = "policy: {overprovisioning_factor: 200}";
  text.cluster = "connect_timeout: 0.25s";
  const ProxyConfig config = config_of(text);
  const auto& cluster = only_cluster(config);
  EXPECT_EQ(cluster.endpoints.at(0).priority, 2u);
  EXPECT_EQ(cluster.endpoints.at(0).zone, "west");
  EXPECT_EQ(cluster.pick.overprovisioning, 2.0);
  EXPECT_EQ(cluster.connect_timeout, std::chrono::milliseconds(250));
  EXPECT_EQ(cluster.pending_timeout, std::chrono::milliseconds(250));
}

TEST(EnvoyBootstrap, NamesAreResolved) {
  Bootstrap text;
  text.address = "app.internal";
  text.lb_endpoint = "load_balancing_weight: 2";
  text.cluster =
      "type: STRICT_DNS, dns_lookup_family: V4_ONLY, dns_refresh_rate: 10s, dns_failure_refresh_rate: "
      "{base_interval: 2s, max_interval: 8s}";
  const ProxyConfig config = config_of(text);
  ASSERT_TRUE(config.care.at(0).discovery);
  const auto& dns = std::get<DnsDiscovery>(*config.care[0].discovery);
  ASSERT_EQ(dns.names.size(), 1u);
  EXPECT_EQ(dns.names[0].name, "app.internal");
  EXPECT_EQ(dns.names[0].like.id.port, 80);
  EXPECT_EQ(dns.names[0].like.weight, 2u);
  EXPECT_EQ(dns.families, DnsFamilies::kIpv4);
  EXPECT_EQ(dns.refresh, (RefreshSettings{seconds(10), seconds(10), seconds(2), seconds(8)}));
  EXPECT_EQ(only_cluster(config).pick.policy, PickPolicy::kWeightedRoundRobin);
  EXPECT_TRUE(only_cluster(config).endpoints.empty());
  EXPECT_TRUE(dns.servers.empty());
  Bootstrap by_ttl = text;
  by_ttl.cluster = "type: STRICT_DNS, dns_refresh_rate: 10s, respect_dns_ttl: true";
  const ProxyConfig respecting = config_of(by_ttl);
  EXPECT_EQ(std::get<DnsDiscovery>(*respecting.care.at(0).discovery).refresh,
            (RefreshSettings{seconds(10), RefreshSettings{}.max_refresh, seconds(10), seconds(10)}));
  Bootstrap asked = text;
  asked.cluster =
      "type: STRICT_DNS, typed_dns_resolver_config: {name: cares, typed_config: {'@type': "
      "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig, resolvers: "
      "[{socket_address: {address: 127.0.0.1, port_value: 5300}}]}}";
  const ProxyConfig served = config_of(asked);
  EXPECT_THAT(std::get<DnsDiscovery>(*served.care.at(0).discovery).servers,
              ElementsAre(DnsServer{IpAddress::v4(127, 0, 0, 1), 5300}));
  EXPECT_FALSE(config.care[0].health.port);
  text.endpoint = "health_check_config: {port_value: 8081}";
  EXPECT_EQ(config_of(text).care.at(0).health.port, 8081);
  text.lb_endpoint += "}, {endpoint: {address: {socket_address: {address: b.internal, port_value: 80}}}";
  EXPECT_THAT(error_of(text), HasSubstr("accepted: the same for all names"));
  text.lb_endpoint.clear();
  text.address = "'a b'";
  EXPECT_THAT(error_of(text),
              HasSubstr("found 'a b'; accepted: an IPv4 or IPv6 address, or a name that DNS may know"));
  text.address = "192.0.2.9";
  EXPECT_FALSE(config_of(text).care.at(0).discovery);
  EXPECT_THAT(config_of(text).care.at(0).check_ports, ElementsAre(8081));
}

TEST(EnvoyBootstrap, TlsTowardsEndpoints) {
  const std::string context =
      "http2_protocol_options: {}, transport_socket: {typed_config: {'@type': "
      "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, ";
  Bootstrap text;
  text.cluster =
      context +
      "sni: app.example, common_tls_context: {tls_certificates: [{certificate_chain: {filename: /c}, "
      "private_key: {filename: /k}}], validation_context: {trusted_ca: {filename: /ca}, "
      "match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: app.example}}]}}}}";
  const ProxyConfig config = config_of(text);
  const auto& tls = only_cluster(config).tls;
  ASSERT_TRUE(tls);
  EXPECT_TRUE(tls->verify);
  EXPECT_EQ(tls->server_name, "app.example");
  EXPECT_EQ(tls->ca, "/ca");
  EXPECT_EQ(tls->certificate, "/c");
  EXPECT_EQ(tls->key, "/k");
  EXPECT_THAT(tls->protocols, ElementsAre("h2"));
  text.cluster =
      context +
      "sni: x}}, health_checks: [{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: "
      "1, http_health_check: {path: /}}]";
  const ProxyConfig unverified = config_of(text);
  EXPECT_FALSE(only_cluster(unverified).tls->verify);
  EXPECT_EQ(unverified.care.at(0).health.kind, HealthCheckKind::kHttps);
  EXPECT_EQ(unverified.care.at(0).health.host, "x");
  text.cluster = context + "common_tls_context: {tls_certificate_sds_secret_configs: []}}}";
  EXPECT_THAT(error_of(text), HasSubstr("tls_certificate_sds_secret_configs: not supported"));
}

}  // namespace
}  // namespace sluice
