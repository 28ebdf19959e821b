#include "control/proxy/envoy_listeners.h"

#include <fmt/format.h>

#include "control/proxy/envoy_matches.h"
#include "control/proxy/envoy_routes.h"
#include "control/proxy/envoy_tls.h"

namespace sluice {
namespace {

using l7::ListenerSettings;
using std::chrono::milliseconds;

constexpr std::string_view kFilters = "envoy.extensions.filters.http.";

/// The health check filter answers like our health_path, if it answers itself and goes by the path alone.
void read_health_filter(const EnvoyMessage& filter, ListenerSettings& listener) {
  const EnvoyMessage health =
      filter.typed("typed_config", "envoy.extensions.filters.http.health_check.v3", "HealthCheck");
  if (!health.present()) return;
  bool pass_through = false;
  health.flag("pass_through_mode", pass_through);
  const auto matches = read_envoy_header_matches(health, "headers");
  const bool fits = !pass_through && matches.size() == 1 && matches[0].name == ":path" &&
                    matches[0].match.kind == TextMatchKind::kExact && !matches[0].match.invert &&
                    !matches[0].match.ignore_case;
  if (fits) {
    listener.health_path = matches[0].match.value;
  } else {
    health.report(
        *health.node(), {},
        "not supported; accepted: pass_through_mode false and one header, :path, that is matched exactly");
  }
}

void read_http_filters(const EnvoyMessage& manager, ListenerSettings& listener) {
  const auto filters = manager.messages("http_filters", "HttpFilter");
  bool routed = false;
  for (const EnvoyMessage& filter : filters) {
    const std::string type = filter.type_url("typed_config");
    if (type == fmt::format("{}health_check.v3.HealthCheck", kFilters)) {
      read_health_filter(filter, listener);
    } else if (type == fmt::format("{}grpc_stats.v3.FilterConfig", kFilters)) {
      filter.warn(*filter.node(), {},
                  "not used: gRPC statuses are counted anyway, see docs/proxy-metrics.md");
    } else {
      filter.typed("typed_config", "envoy.extensions.filters.http.router.v3", "Router");
      if (filter.find("typed_config") == nullptr)
        filter.report(
            *filter.node(), {},
            "found no typed_config; accepted: the one of the router, health_check or grpc_stats filter");
      routed = true;
    }
  }
  if (!routed && manager.present())
    manager.report(*manager.node(), "http_filters",
                   "found no router; accepted: a list that ends with the filter envoy.filters.http.router");
}

void read_upgrades(const EnvoyMessage& manager, const EnvoyMessage& http2, ListenerSettings& listener) {
  listener.http1.websocket = false;
  for (const EnvoyMessage& upgrade : manager.messages("upgrade_configs", "UpgradeConfig")) {
    std::string type;
    upgrade.choice<std::string>("upgrade_type", type, {{"websocket", "websocket"}});
    bool enabled = true;
    upgrade.flag("enabled", enabled);
    if (type == "websocket") listener.http1.websocket = enabled;
  }
  bool allowed = false;
  http2.flag("allow_connect", allowed);
  listener.http2.extended_connect = allowed && listener.http1.websocket;
}

void read_paths(const EnvoyMessage& manager, PathRules& paths) {
  paths.normalize = false;
  manager.flag("normalize_path", paths.normalize);
  const YamlNode* merge = manager.flag("merge_slashes", paths.merge_slashes);
  if (merge != nullptr && paths.merge_slashes && !paths.normalize)
    manager.report(*merge, "merge_slashes", "not supported without normalize_path");
  const YamlNode* escaped = manager.choice("path_with_escaped_slashes_action", paths.escaped_slashes,
                                           {{"IMPLEMENTATION_SPECIFIC_DEFAULT", EscapedSlashes::kKeep},
                                            {"KEEP_UNCHANGED", EscapedSlashes::kKeep},
                                            {"REJECT_REQUEST", EscapedSlashes::kRefuse}});
  if (escaped != nullptr && paths.escaped_slashes == EscapedSlashes::kRefuse && !paths.normalize)
    manager.report(*escaped, "path_with_escaped_slashes_action", "not supported without normalize_path");
}

void read_http2(const EnvoyMessage& http2, l7::Http2Settings& settings) {
  settings.max_concurrent_streams = 1024;
  http2.number("max_concurrent_streams", settings.max_concurrent_streams, 1, 0x7fffffff);
  http2.number("initial_stream_window_size", settings.stream_window, 65535, 0x7fffffff);
  http2.number("initial_connection_window_size", settings.connection_window, 65535, 0x7fffffff);
}

/// 0: refused unless it is off.
void refuse_time(const EnvoyMessage& message, std::string_view field) {
  milliseconds time{0};
  const YamlNode* found = message.duration(field, time);
  if (found != nullptr && time.count() != 0) message.refuse(*found, field, "not supported; accepted: 0s");
}

void read_manager(const EnvoyMessage& manager, ListenerSettings& listener, EnvoyDraft& draft) {
  enum class Codec { kAuto, kHttp1, kHttp2 } codec = Codec::kAuto;
  manager.choice("codec_type", codec,
                 {{"AUTO", Codec::kAuto}, {"HTTP1", Codec::kHttp1}, {"HTTP2", Codec::kHttp2}});
  listener.http1_allowed = codec != Codec::kHttp2;
  listener.http2_allowed = codec != Codec::kHttp1;
  const EnvoyMessage http2 = manager.message("http2_protocol_options", "Http2ProtocolOptions");
  read_http2(http2, listener.http2);
  const EnvoyMessage keepalive = http2.message("connection_keepalive", "KeepaliveSettings");
  if (keepalive.present())
    http2.warn(*keepalive.node(), "connection_keepalive",
               "not used for clients: keepalive_timeout and stall_timeout end those that have gone");
  bool stream_error = false;
  manager.flag("stream_error_on_invalid_http_message", stream_error);
  listener.http2.malformed_ends_connection = !stream_error;
  read_envoy_malformed(http2, listener.http2.malformed_ends_connection);
  uint32_t kilobytes = 60;
  manager.number("max_request_headers_kb", kilobytes, 1, 8192);
  listener.http2.headers.list_size = size_t{kilobytes} * 1024;
  listener.http2.headers.fields = 100;
  const EnvoyMessage common = manager.message("common_http_protocol_options", "HttpProtocolOptions");
  uint32_t fields = 100;
  if (common.number("max_headers_count", fields, 1)) listener.http2.headers.fields = fields;
  refuse_time(common, "max_connection_duration");
  refuse_time(common, "max_stream_duration");
  refuse_time(manager, "request_timeout");
  refuse_time(manager, "request_headers_timeout");
  bool remote = false;
  manager.flag("use_remote_address", remote);
  bool skip = false;
  manager.flag("skip_xff_append", skip);
  listener.forwarded_for = remote && !skip;
  read_paths(manager, listener.paths);
  read_upgrades(manager, http2, listener);
  read_http_filters(manager, listener);
  milliseconds idle{300'000};
  manager.duration("stream_idle_timeout", idle);
  if (manager.require("route_config") != nullptr)
    listener.routes = read_envoy_routes(manager.message("route_config", "RouteConfiguration"), idle, draft);
}

}  // namespace

void read_envoy_malformed(const EnvoyMessage& http2, bool& ends_connection) {
  bool stream_error = false;
  if (http2.flag("stream_error_on_invalid_http_messaging", stream_error)) ends_connection = !stream_error;
  if (http2.flag("override_stream_error_on_invalid_http_message", stream_error))
    ends_connection = !stream_error;
}

void read_envoy_listener(const EnvoyMessage& message, size_t number, EnvoyDraft& draft) {
  ListenerSettings& listener = draft.config.settings.listeners.emplace_back();
  listener.name = fmt::format("listener_{}", number);
  read_envoy_name(message, "name", listener.name);
  message.require("address");
  const EnvoyAddress address = read_envoy_address(message.message("address", "Address"));
  listener.port = address.port;
  if (address.node != nullptr) {
    if (const auto parsed = IpAddress::parse(address.host)) {
      listener.address = *parsed;
    } else {
      message.refuse(*address.node, "address.socket_address.address", "accepted: an IPv4 or IPv6 address");
    }
  }
  for (const EnvoyMessage& filter : message.messages("listener_filters", "ListenerFilter")) {
    filter.typed("typed_config", "envoy.extensions.filters.listener.tls_inspector.v3", "TlsInspector");
  }
  message.require("filter_chains");
  const auto chains = message.messages("filter_chains", "FilterChain");
  for (size_t i = 1; i < chains.size(); ++i)
    chains[i].report(*chains[i].node(), {}, "found a second filter chain; accepted: one");
  if (chains.empty()) return;
  const EnvoyMessage& chain = chains.front();
  const auto filters = chain.messages("filters", "Filter");
  if (filters.size() != 1) {
    chain.report(*chain.node(), "filters",
                 fmt::format("found {} filters; accepted: one, the HTTP connection manager", filters.size()));
    return;
  }
  const EnvoyMessage& filter = filters.front();
  if (filter.require("typed_config") != nullptr) {
    read_manager(filter.typed("typed_config", "envoy.extensions.filters.network.http_connection_manager.v3",
                              "HttpConnectionManager"),
                 listener, draft);
  }
  read_envoy_server_tls(chain, listener);
  listener.http1.headers = listener.http2.headers;
  listener.http1.stream_window = listener.http2.stream_window;
  listener.http1.secure = listener.tls.has_value();
}

}  // namespace sluice
