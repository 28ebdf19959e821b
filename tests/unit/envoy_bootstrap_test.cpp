#include "control/proxy/envoy_bootstrap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>

#include "control/proxy/envoy_fields.h"
#include "control/proxy/proxy_file.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string kDocs = SLUICE_SOURCE_DIR "/docs/";
const std::string kFiles = SLUICE_SOURCE_DIR "/tests/unit/envoy/";

std::string file_text(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

/// A correct bootstrap, as parts that a test replaces. Each is what stands in a flow map.
struct Bootstrap {
  std::string match = "prefix: /";
  std::string action = "route: {cluster: app}";
  std::string route;        ///< further fields
  std::string host;         ///< further fields of the virtual host
  std::string manager;      ///< further fields of the HTTP connection manager
  std::string listener;     ///< further fields
  std::string chain;        ///< further fields of the filter chain
  std::string cluster;      ///< further fields
  std::string endpoint;     ///< further fields of lb_endpoints[0].endpoint
  std::string lb_endpoint;  ///< further fields of lb_endpoints[0]
  std::string address = "192.0.2.1";
  std::string top;

  std::string text() const {
    const auto more = [](const std::string& fields) { return fields.empty() ? "" : ", " + fields; };
    const std::string type = "'@type': type.googleapis.com/envoy.extensions.filters.";
    return "static_resources:\n"
           "  listeners:\n"
           "  - {name: front, address: {socket_address: {address: 127.0.0.1, port_value: 8080}}" +
           more(listener) + ",\n     filter_chains: [{filters: [{name: hcm, typed_config: {" + type +
           "network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: x" + more(manager) +
           ",\n     route_config: {virtual_hosts: [{name: all, domains: ['*']" + more(host) +
           ",\n     routes: [{match: {" + match + "}, " + action + more(route) +
           "}]}]},\n     http_filters: [{name: router, typed_config: {" + type +
           "http.router.v3.Router}}]}}]" + more(chain) +
           "}]}\n"
           "  clusters:\n"
           "  - {name: app" +
           more(cluster) +
           ",\n     load_assignment: {endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: "
           "{address: " +
           address + ", port_value: 80}}" + more(endpoint) + "}" + more(lb_endpoint) + "}]}]}}\n" + top;
  }
};

Result<EnvoyBootstrap> parsed(const Bootstrap& text) {
  return parse_envoy_bootstrap(text.text(), "e.yaml");
}

/// The configuration; a failure of the test if there is none.
ProxyConfig config_of(const Bootstrap& text) {
  auto read = parsed(text);
  EXPECT_TRUE(read) << read.error().message << "\n" << text.text();
  return read ? std::move(read->config) : ProxyConfig{};
}

std::string error_of(const Bootstrap& text) {
  const auto read = parsed(text);
  return read ? "" : read.error().message;
}

Route route_of(const Bootstrap& text) {
  auto config = config_of(text);
  if (config.settings.listeners.empty()) return {};
  return config.settings.listeners[0].routes.virtual_hosts.at(0).routes.at(0);
}

const l7::ClusterSettings& only_cluster(const ProxyConfig& config) {
  return config.settings.clusters.at(0);
}

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
  EXPECT_FALSE(route.policy.max_grpc_timeout);
  EXPECT_FALSE(route.policy.retry);
  const auto& cluster = only_cluster(config);
  EXPECT_EQ(cluster.protocol, l7::HttpVersion::kHttp1);
  EXPECT_EQ(cluster.connect_timeout, seconds(5));
  EXPECT_EQ(cluster.pick.policy, PickPolicy::kRoundRobin);
  EXPECT_EQ(cluster.pick.panic_percent, 50u);
  EXPECT_EQ(cluster.pick.overprovisioning, 1.4);
  EXPECT_EQ(cluster.circuit, (CircuitLimits{1024, 1024, 1024}));
  EXPECT_EQ(cluster.retry_budget, (RetryBudget{0, 3}));
  EXPECT_EQ(cluster.streaks, (StreakLimits{0, 0, 0}));
  EXPECT_EQ(cluster.endpoints.at(0).id, (EndpointId{IpAddress::v4(192, 0, 2, 1), 80}));
  EXPECT_EQ(config.care.at(0).health.kind, HealthCheckKind::kNone);
  EXPECT_FALSE(config.care.at(0).outlier);
  EXPECT_EQ(config.settings.workers, 1u);
}

// --- how a document is read

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
  const auto read = load_proxy_file({kFiles + "minimal.json", false, 2});
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

// --- PINGs

TEST(EnvoyBootstrap, EndpointsAreAskedAsConnectionKeepaliveSays) {
  Bootstrap text;
  text.cluster = "http2_protocol_options: {connection_keepalive: {interval: 30s, timeout: 2s}}";
  const auto& cluster = only_cluster(config_of(text));
  EXPECT_EQ(cluster.ping_interval, seconds(30));
  EXPECT_EQ(cluster.ping_timeout, seconds(2));
  text.cluster = "http2_protocol_options: {connection_keepalive: {interval: 30s}}";
  EXPECT_THAT(error_of(text), HasSubstr("timeout"));
}

// --- the table

TEST(EnvoyBootstrap, TheDocumentIsTheTableWordForWord) {
  std::map<std::string, std::string> rows;
  std::istringstream page(file_text(kDocs + "envoy-bootstrap.md"));
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("| `") && line.find('.') != std::string::npos)
      rows[line.substr(3, line.find('`', 3) - 3)] = line;
  }
  for (const EnvoyField& field : envoy_fields()) {
    const std::string name = std::string(field.message) + "." + std::string(field.field);
    const bool ignored = field.use == EnvoyField::Use::kIgnored;
    EXPECT_EQ(rows[name], "| `" + name + "` | " + std::string(ignored ? "not used" : field.ours) + " | " +
                              std::string(field.notes) + " |");
    EXPECT_FALSE(ignored && field.notes.empty()) << name;
    EXPECT_FALSE(!ignored && field.ours.empty()) << name;
    rows.erase(name);
  }
  for (const auto& [name, line] : rows) ADD_FAILURE() << "not in the table: " << line;
}

TEST(EnvoyBootstrap, ReadersLookForExactlyWhatTheTableSaysTheyRead) {
  const std::string text = file_text(kFiles + "everything.yaml");
  const auto read = parse_envoy_bootstrap(text, "everything.yaml");
  ASSERT_TRUE(read) << read.error().message;
  for (const EnvoyField& field : envoy_fields()) {
    const std::string name = std::string(field.message) + "." + std::string(field.field);
    EXPECT_EQ(read->fields.contains(name), field.use == EnvoyField::Use::kRead) << name;
  }
  for (const std::string& name : read->fields) {
    const size_t dot = name.find('.');
    EXPECT_NE(find_envoy_field(name.substr(0, dot), name.substr(dot + 1)), nullptr) << name;
  }
}

TEST(EnvoyBootstrap, TheExampleIsCorrect) {
  const auto read = load_proxy_file({kDocs + "examples/envoy-grpc.yaml", true, 0});
  ASSERT_TRUE(read) << read.error().message;
  const auto& cluster = only_cluster(read->config);
  EXPECT_EQ(cluster.protocol, l7::HttpVersion::kHttp2);
  EXPECT_FALSE(cluster.http2.malformed_ends_connection);
  EXPECT_THAT(read->config.care[0].check_ports, ElementsAre(8081, 8081));
  EXPECT_GE(read->config.settings.workers, 1u);
}

// --- listeners

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

// --- routes

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

// --- clusters

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
  EXPECT_TRUE(only_cluster(config).endpoints.empty());
  EXPECT_TRUE(dns.servers.empty());
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

TEST(EnvoyBootstrap, HealthChecks) {
  const std::string numbers = "timeout: 1s, interval: 5s, unhealthy_threshold: 2, healthy_threshold: 3";
  Bootstrap text;
  text.cluster = "health_checks: [{" + numbers +
                 ", event_log_path: /var/log/hc.log, always_log_health_check_failures: true, "
                 "unhealthy_edge_interval: 2s, "
                 "http_health_check: {path: /healthz, expected_statuses: [{start: 200, end: 300}, {start: "
                 "'404', end: '405'}]}}]";
  const ProxyConfig http = config_of(text);
  const ClusterCare& care = http.care.at(0);
  EXPECT_EQ(care.health.kind, HealthCheckKind::kHttp);
  EXPECT_EQ(care.health.path, "/healthz");
  EXPECT_EQ(care.health.host, "app");
  EXPECT_EQ(care.health.expected_status, (std::vector<StatusRange>{{200, 299}, {404, 404}}));
  EXPECT_EQ(care.health.timeout, seconds(1));
  EXPECT_EQ(care.health.interval, seconds(5));
  EXPECT_EQ(care.health.fast_interval, seconds(2));
  EXPECT_EQ(care.health.fall, 2u);
  EXPECT_EQ(care.health.rise, 3u);
  EXPECT_TRUE(care.health.answer_decides);
  EXPECT_EQ(care.event_log, "/var/log/hc.log");
  EXPECT_TRUE(care.log_every_failure);
  text.cluster =
      "health_checks: [{" + numbers + ", http_health_check: {path: /, host: h, codec_client_type: HTTP2}}]";
  EXPECT_EQ(config_of(text).care.at(0).health.kind, HealthCheckKind::kHttp2);
  EXPECT_EQ(config_of(text).care.at(0).health.host, "h");
  EXPECT_EQ(config_of(text).care.at(0).health.expected_status, (std::vector<StatusRange>{{200, 200}}));
  EXPECT_EQ(config_of(text).care.at(0).health.fast_interval, seconds(5));
  text.cluster = "health_checks: [{" + numbers + ", tcp_health_check: {}}]";
  EXPECT_EQ(config_of(text).care.at(0).health.kind, HealthCheckKind::kTcp);
  text.cluster = "health_checks: [{" + numbers + ", grpc_health_check: {service_name: s, authority: a}}]";
  EXPECT_EQ(config_of(text).care.at(0).health.kind, HealthCheckKind::kGrpc);
  EXPECT_EQ(config_of(text).care.at(0).health.grpc_service, "s");
  EXPECT_EQ(config_of(text).care.at(0).health.host, "a");
  const std::map<std::string, std::string> wrong{
      {"{tcp_health_check: {}}", "health_checks[0].timeout: found nothing; Envoy wants this field"},
      {"{" + numbers + "}",
       "found no check; accepted: http_health_check, tcp_health_check or grpc_health_check"},
      {"{" + numbers + ", tcp_health_check: {send: {text: '00'}}}", "tcp_health_check.send: not supported"},
      {"{" + numbers + ", custom_health_check: {}}", "custom_health_check: not supported"},
      {"{" + numbers + ", http_health_check: {}}", "http_health_check.path: found nothing"},
      {"{" + numbers + ", http_health_check: {path: /, expected_statuses: [{start: 200, end: 200}]}}",
       "expected_statuses[0]: accepted: start from 100 to 599"},
      {"{" + numbers + ", tcp_health_check: {}}, {" + numbers + ", tcp_health_check: {}}",
       "health_checks[1]: found a second health check"}};
  for (const auto& [check, expected] : wrong) {
    text.cluster = "health_checks: [" + check + "]";
    EXPECT_THAT(error_of(text), HasSubstr(expected));
  }
}

TEST(EnvoyBootstrap, OutlierDetection) {
  Bootstrap text;
  text.cluster = "outlier_detection: {}";
  text.top = "cluster_manager: {outlier_detection: {event_log_path: /var/log/out.log}}\n";
  const ProxyConfig defaults = config_of(text);
  ASSERT_TRUE(defaults.care.at(0).outlier);
  OutlierSettings expected;
  expected.streaks = {5, 0, 5};
  expected.success_rate_min_gap = 0;
  EXPECT_EQ(*defaults.care[0].outlier, expected);
  EXPECT_EQ(only_cluster(defaults).streaks, expected.streaks);
  EXPECT_EQ(defaults.care[0].outlier_event_log, "/var/log/out.log");
  text.cluster =
      "outlier_detection: {consecutive_5xx: 3, consecutive_gateway_failure: 4, "
      "enforcing_consecutive_gateway_failure: 100, "
      "split_external_local_origin_errors: true, consecutive_local_origin_failure: 6, "
      "enforcing_success_rate: 0, "
      "success_rate_minimum_hosts: 7, success_rate_request_volume: 8, success_rate_stdev_factor: 2500, "
      "enforcing_failure_percentage: 100, failure_percentage_threshold: 50, "
      "failure_percentage_minimum_hosts: 9, "
      "failure_percentage_request_volume: 10, interval: 1s, base_ejection_time: 600s, max_ejection_percent: "
      "100}";
  OutlierSettings all;
  all.streaks = {3, 4, 6};
  all.success_rate = false;
  all.success_rate_factor = 2.5;
  all.success_rate_min_gap = 0;
  all.success_rate_endpoints = 7;
  all.success_rate_requests = 8;
  all.failure_percentage = 50;
  all.failure_percentage_endpoints = 9;
  all.failure_percentage_requests = 10;
  all.interval = seconds(1);
  all.base_ejection = seconds(600);
  all.max_ejection = seconds(600);
  all.max_ejection_percent = 100;
  EXPECT_EQ(*config_of(text).care.at(0).outlier, all);
  text.cluster = "outlier_detection: {enforcing_consecutive_5xx: 50}";
  EXPECT_THAT(error_of(text), HasSubstr("found '50'; accepted: 0 or 100"));
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
