// An Envoy bootstrap's listeners.
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

TEST(EnvoyBootstrap, WhatAMalformedMessageEnds) {
  const std::map<std::string, bool> cases{
      {"http2_protocol_options: {}", true},
      {"http2_protocol_options: {stream_error_on_invalid_http_messaging: true}", false},
      {"http2_protocol_options: {stream_error_on_invalid_http_messaging: false}", true},
      {"http2_protocol_options: {override_stream_error_on_invalid_http_message: true}", false},
      {"http2_protocol_options: {stream_error_on_invalid_http_messaging: true, "
       "override_stream_error_on_invalid_http_message: false}",
       true}};
  for (const auto& [fields, ends_connection] : cases) {
    Bootstrap text;
    text.manager = text.cluster = fields;
    const ProxyConfig config = config_of(text);
    EXPECT_EQ(config.settings.listeners[0].http2.malformed_ends_connection, ends_connection) << fields;
    EXPECT_EQ(only_cluster(config).http2.malformed_ends_connection, ends_connection) << fields;
  }
  Bootstrap text;
  text.manager = "stream_error_on_invalid_http_message: true";
  EXPECT_FALSE(config_of(text).settings.listeners[0].http2.malformed_ends_connection);
  text.manager += ", http2_protocol_options: {override_stream_error_on_invalid_http_message: false}";
  EXPECT_TRUE(config_of(text).settings.listeners[0].http2.malformed_ends_connection);
}

TEST(EnvoyBootstrap, WhatAnHttpConnectionManagerSays) {
  Bootstrap text;
  text.manager =
      "codec_type: HTTP2, use_remote_address: true, max_request_headers_kb: 96, stream_idle_timeout: 60s, "
      "common_http_protocol_options: {max_headers_count: 50}, normalize_path: true, merge_slashes: true, "
      "path_with_escaped_slashes_action: REJECT_REQUEST, upgrade_configs: [{upgrade_type: websocket}], "
      "http2_protocol_options: {max_concurrent_streams: 50, allow_connect: true, initial_stream_window_size: "
      "70000}, "
      "request_timeout: 0s";
  const ProxyConfig config = config_of(text);
  const auto& listener = config.settings.listeners.at(0);
  EXPECT_FALSE(listener.http1_allowed);
  EXPECT_TRUE(listener.http2_allowed);
  EXPECT_TRUE(listener.forwarded_for);
  EXPECT_EQ(listener.http2.headers.list_size, 96u * 1024);
  EXPECT_EQ(listener.http2.headers.fields, 50u);
  EXPECT_EQ(listener.http2.stream_window, 70000u);
  EXPECT_EQ(listener.http1.stream_window, 70000u);
  EXPECT_EQ(listener.http2.max_concurrent_streams, 50u);
  EXPECT_EQ(listener.paths, (PathRules{true, true, EscapedSlashes::kRefuse}));
  EXPECT_TRUE(listener.http1.websocket);
  EXPECT_TRUE(listener.http2.extended_connect);
  EXPECT_EQ(listener.routes.virtual_hosts.at(0).routes.at(0).policy.idle_timeout, seconds(60));
}

TEST(EnvoyBootstrap, WhatAListenerCannotHave) {
  const std::map<std::string, std::string> cases{
      {"request_timeout: 5s", "request_timeout: found '5s'; not supported; accepted: 0s"},
      {"request_headers_timeout: 5s", "request_headers_timeout: found '5s'; not supported"},
      {"codec_type: HTTP3", "found 'HTTP3'; accepted: AUTO, HTTP1, HTTP2"},
      {"merge_slashes: true", "not supported without normalize_path"},
      {"path_with_escaped_slashes_action: REJECT_REQUEST", "not supported without normalize_path"},
      {"upgrade_configs: [{upgrade_type: CONNECT}]", "found 'CONNECT'; accepted: websocket"},
      {"xff_num_trusted_hops: 1", "xff_num_trusted_hops: not supported"},
      {"rds: {route_config_name: x}", "typed_config.rds: not supported"},
      {"local_reply_config: {}", "local_reply_config: not supported"}};
  for (const auto& [manager, expected] : cases) {
    Bootstrap text;
    text.manager = manager;
    EXPECT_THAT(error_of(text), HasSubstr(expected));
  }
  Bootstrap text;
  text.listener = "use_original_dst: true";
  EXPECT_THAT(error_of(text), HasSubstr("listeners[0].use_original_dst: not supported"));
}

TEST(EnvoyBootstrap, TheHealthCheckFilterIsOurHealthPath) {
  const std::string all = Bootstrap().text();
  const std::string filter =
      "{name: health, typed_config: {'@type': "
      "type.googleapis.com/envoy.extensions.filters.http.health_check.v3."
      "HealthCheck, pass_through_mode: false, headers: [{name: ':path', string_match: {exact: "
      "/healthz}}]}}, ";
  std::string text = all;
  text.insert(text.find("{name: router"), filter);
  const auto read = parse_envoy_bootstrap(text, "e.yaml");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->config.settings.listeners[0].health_path, "/healthz");
  text.replace(text.find("exact: /healthz"), 15, "prefix: /healthz");
  EXPECT_THAT(parse_envoy_bootstrap(text, "e.yaml").error().message, HasSubstr("that is matched exactly"));
  std::string other = all;
  other.insert(other.find("{name: router"),
               "{name: fault, typed_config: {'@type': "
               "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault}}, ");
  EXPECT_THAT(parse_envoy_bootstrap(other, "e.yaml").error().message, HasSubstr("fault.v3.HTTPFault"));
}

TEST(EnvoyBootstrap, TlsTowardsClients) {
  Bootstrap text;
  text.chain =
      "transport_socket: {name: tls, typed_config: {'@type': "
      "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."
      "DownstreamTlsContext, require_client_certificate: true, disable_stateless_session_resumption: true, "
      "common_tls_context: {alpn_protocols: [h2], tls_params: {tls_minimum_protocol_version: TLSv1_3, "
      "cipher_suites: [A, "
      "B]}, validation_context: {trusted_ca: {filename: /ca.pem}}, tls_certificates: [{certificate_chain: "
      "{filename: "
      "/c.pem}, private_key: {filename: /k.pem}, ocsp_staple: {filename: /o.der}}]}}}";
  const ProxyConfig config = config_of(text);
  const auto& listener = config.settings.listeners.at(0);
  ASSERT_TRUE(listener.tls);
  EXPECT_EQ(listener.tls->certificates.at(0).certificate, "/c.pem");
  EXPECT_EQ(listener.tls->certificates.at(0).key, "/k.pem");
  EXPECT_EQ(listener.tls->certificates.at(0).ocsp_staple, "/o.der");
  EXPECT_EQ(listener.tls->client_ca, "/ca.pem");
  EXPECT_EQ(listener.tls->client_certificates, l7::ClientCertificates::kRequired);
  EXPECT_EQ(listener.tls->min_version, l7::TlsVersion::kTls13);
  EXPECT_EQ(listener.tls->ciphers, "A:B");
  EXPECT_FALSE(listener.tls->session_tickets);
  EXPECT_THAT(listener.tls->protocols, ElementsAre("h2"));
  EXPECT_FALSE(listener.http1_allowed);
  EXPECT_TRUE(listener.http1.secure);
}

TEST(EnvoyBootstrap, KeepaliveOfClientsIsToldOfAndNotUsed) {
  Bootstrap text;
  text.manager = "http2_protocol_options: {connection_keepalive: {interval: 30s, timeout: 2s}}";
  const auto read = test::parsed(text);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_THAT(read->warnings, testing::Contains(HasSubstr("http2_protocol_options.connection_keepalive: not "
                                                          "used for clients: keepalive_timeout and")));
}

}  // namespace
}  // namespace sluice
