#include "control/proxy/envoy_routes.h"

#include <fmt/format.h>

#include <array>
#include <optional>

#include "control/proxy/envoy_matches.h"
#include "lb/l7/grpc_status.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;

/// What a virtual host or the whole configuration says for its routes.
struct Around {
  milliseconds idle_timeout{0};
  std::optional<RetryPolicy> retry;
  std::vector<HeaderEdit> request_headers;  ///< behind those of the route
  std::vector<HeaderEdit> response_headers;
};

/// A value without substitutions: "%%" is a percent sign, a single one begins a variable.
std::optional<std::string> plain_value(std::string_view text) {
  std::string value;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 1 == text.size() || text[i + 1] != '%') return std::nullopt;
      ++i;
    }
    value += text[i];
  }
  return value;
}

/// What one level says of header fields: removals before additions, as Envoy does them.
void read_edits(const EnvoyMessage& message, std::string_view add, std::string_view remove,
                std::vector<HeaderEdit>& edits) {
  for (const YamlNode* name : message.texts(remove))
    edits.push_back({HeaderEditKind::kRemove, name->text, ""});
  for (const EnvoyMessage& option : message.messages(add, "HeaderValueOption")) {
    HeaderEdit& edit = edits.emplace_back();
    const EnvoyMessage header = option.message("header", "HeaderValue");
    if (option.require("header") != nullptr && header.require("key") != nullptr)
      header.text("key", edit.name);
    std::string value;
    const YamlNode* node = header.text("value", value);
    if (const auto plain = plain_value(value)) {
      edit.value = *plain;
    } else {
      header.refuse(*node, "value", "accepted: a text without %VARIABLES%; %% is a percent sign");
    }
    edit.kind = HeaderEditKind::kAdd;
    bool append = true;
    const std::string_view how = option.one_of({"append", "append_action"});
    if (how == "append" && option.flag(how, append) != nullptr && !append) edit.kind = HeaderEditKind::kSet;
    option.choice("append_action", edit.kind,
                  {{"APPEND_IF_EXISTS_OR_ADD", HeaderEditKind::kAdd},
                   {"ADD_IF_ABSENT", HeaderEditKind::kAddIfAbsent},
                   {"OVERWRITE_IF_EXISTS_OR_ADD", HeaderEditKind::kSet}});
  }
}

void read_all_edits(const EnvoyMessage& message, std::vector<HeaderEdit>& request,
                    std::vector<HeaderEdit>& response) {
  read_edits(message, "request_headers_to_add", "request_headers_to_remove", request);
  read_edits(message, "response_headers_to_add", "response_headers_to_remove", response);
}

void read_retry_on(const EnvoyMessage& message, RetryPolicy& retry) {
  static constexpr std::array<std::pair<std::string_view, uint32_t>, 7> kConditions{{
      {"connect-failure", kRetryConnectFailure},
      {"refused-stream", kRetryRefusedStream},
      {"reset", kRetryReset | kRetryRefusedStream | kRetryConnectFailure | kRetryTryTimeout},
      {"gateway-error", kRetryGatewayError},
      {"5xx",
       kRetryServerError | kRetryReset | kRetryRefusedStream | kRetryConnectFailure | kRetryTryTimeout},
      {"retriable-status-codes", kRetryStatuses},
      {"reset-before-request", kRetryRefusedStream | kRetryConnectFailure},
  }};
  static constexpr std::array<std::pair<std::string_view, GrpcStatus>, 5> kGrpc{{
      {"cancelled", GrpcStatus::kCancelled},
      {"deadline-exceeded", GrpcStatus::kDeadlineExceeded},
      {"internal", GrpcStatus::kInternal},
      {"resource-exhausted", GrpcStatus::kResourceExhausted},
      {"unavailable", GrpcStatus::kUnavailable},
  }};
  retry.on = 0;
  std::string text;
  const YamlNode* node = message.text("retry_on", text);
  std::string_view left = text;
  while (node != nullptr && !left.empty()) {
    std::string_view word = left.substr(0, left.find(','));
    left.remove_prefix(std::min(left.size(), word.size() + 1));
    while (word.starts_with(' ')) word.remove_prefix(1);
    while (word.ends_with(' ')) word.remove_suffix(1);
    bool known = false;
    for (const auto& [name, bits] : kConditions) {
      if (name != word) continue;
      retry.on |= bits;
      known = true;
    }
    for (const auto& [name, status] : kGrpc) {
      if (name != word) continue;
      retry.on |= kRetryGrpcStatuses;
      retry.grpc_statuses |= 1u << static_cast<uint32_t>(status);
      known = true;
    }
    if (!known) message.report(*node, "retry_on", fmt::format("found '{}', which is not supported", word));
  }
}

RetryPolicy read_retry(const EnvoyMessage& message) {
  RetryPolicy retry;
  read_retry_on(message, retry);
  message.number("num_retries", retry.max_retries, 0, 10);
  message.duration("per_try_timeout", retry.per_try_timeout);
  for (const YamlNode* status : message.texts("retriable_status_codes")) {
    const auto number = parse_decimal<uint32_t>(status->text);
    if (number && *number >= 100 && *number <= 599) {
      retry.statuses.push_back(*number);
    } else {
      message.refuse(*status, "retriable_status_codes", "accepted: statuses from 100 to 599");
    }
  }
  const EnvoyMessage backoff = message.message("retry_back_off", "RetryBackOff");
  if (backoff.present()) backoff.require("base_interval");
  backoff.duration("base_interval", retry.backoff.base);
  retry.backoff.max = retry.backoff.base * 10;
  backoff.duration("max_interval", retry.backoff.max);
  for (const EnvoyMessage& predicate : message.messages("retry_host_predicate", "RetryHostPredicate"))
    predicate.typed("typed_config", "envoy.extensions.retry.host.previous_hosts.v3",
                    "PreviousHostsPredicate");
  // Who says so knows; Envoy does not ask for the method.
  retry.any_method = true;
  return retry;
}

ForwardAction read_clusters(const EnvoyMessage& route, EnvoyDraft& draft) {
  ForwardAction forward;
  const std::string_view found = route.one_of({"cluster", "weighted_clusters"});
  if (found == "cluster") {
    read_envoy_cluster_name(route, found, forward.clusters.emplace_back().cluster, draft);
  } else if (found == "weighted_clusters") {
    const EnvoyMessage weighted = route.message(found, "WeightedCluster");
    for (const EnvoyMessage& item : weighted.messages("clusters", "ClusterWeight")) {
      sluice::WeightedCluster& target = forward.clusters.emplace_back();
      if (item.require("name") != nullptr) read_envoy_cluster_name(item, "name", target.cluster, draft);
      target.weight = 0;
      item.number("weight", target.weight, 0, 1'000'000);
    }
  } else if (route.present()) {
    route.report(*route.node(), {}, "found no cluster; accepted: cluster or weighted_clusters");
  }
  return forward;
}

std::vector<KeyPart> read_hash_policy(const EnvoyMessage& route) {
  std::vector<KeyPart> parts;
  for (const EnvoyMessage& policy : route.messages("hash_policy", "HashPolicy")) {
    KeyPart part;
    const std::string_view found =
        policy.one_of({"header", "cookie", "connection_properties", "query_parameter"});
    const EnvoyMessage header = policy.message("header", "HashPolicyHeader");
    const EnvoyMessage cookie = policy.message("cookie", "HashPolicyCookie");
    const EnvoyMessage connection = policy.message("connection_properties", "ConnectionProperties");
    const EnvoyMessage query = policy.message("query_parameter", "HashPolicyQueryParameter");
    if (found == "header") {
      part.key = RequestKey::kHeader;
      if (header.require("header_name") != nullptr) header.text("header_name", part.name);
    } else if (found == "cookie") {
      part.key = RequestKey::kCookie;
      if (cookie.require("name") != nullptr) cookie.text("name", part.name);
      milliseconds ttl{0};
      if (cookie.duration("ttl", ttl) != nullptr)
        part.cookie_ttl = std::chrono::ceil<std::chrono::seconds>(ttl);
      cookie.text("path", part.cookie_path);
    } else if (found == "query_parameter") {
      part.key = RequestKey::kQueryParameter;
      if (query.require("name") != nullptr) query.text("name", part.name);
    } else {
      bool source = false;
      connection.flag("source_ip", source);
      if (!source) {
        policy.report(
            *policy.node(), {},
            "found no key; accepted: header, cookie, query_parameter or connection_properties.source_ip");
        continue;
      }
      part.key = RequestKey::kSourceAddress;
    }
    policy.flag("terminal", part.terminal);
    parts.push_back(std::move(part));
  }
  return parts;
}

/// A RuntimeFractionalPercent's default, in percent.
double read_fraction(const EnvoyMessage& parent, std::string_view field) {
  const EnvoyMessage value =
      parent.message(field, "RuntimeFractionalPercent").message("default_value", "FractionalPercent");
  if (!value.present()) return 100;
  uint32_t numerator = 0;
  double denominator = 100;
  value.number("numerator", numerator);
  value.choice<double>("denominator", denominator,
                       {{"HUNDRED", 100}, {"TEN_THOUSAND", 10'000}, {"MILLION", 1'000'000}});
  return std::min(100.0, numerator * 100.0 / denominator);
}

void read_rewrite(const EnvoyMessage& route, Rewrite& rewrite) {
  std::string text;
  route.one_of({"prefix_rewrite", "regex_rewrite"});
  if (route.text("prefix_rewrite", text)) rewrite.prefix = text;
  const EnvoyMessage regex = route.message("regex_rewrite", "RegexMatchAndSubstitute");
  if (regex.present()) {
    if (regex.require("pattern") != nullptr) rewrite.regex = read_envoy_regex(regex, "pattern");
    regex.text("substitution", rewrite.substitution);
  }
  if (route.text("host_rewrite_literal", text)) rewrite.host = text;
}

void read_forward(const EnvoyMessage& message, Route& route, const Around& around, EnvoyDraft& draft) {
  route.action = read_clusters(message, draft);
  read_rewrite(message, route.rewrite);
  RoutePolicy& policy = route.policy;
  message.duration("timeout", policy.request_timeout);
  message.duration("idle_timeout", policy.idle_timeout);
  // grpc-timeout is passed on and means nothing to Envoy unless one of these says so.
  policy.max_grpc_timeout.reset();
  milliseconds longest{0};
  if (message.duration("max_grpc_timeout", longest)) policy.max_grpc_timeout = longest;
  const EnvoyMessage duration = message.message("max_stream_duration", "MaxStreamDuration");
  if (duration.duration("grpc_timeout_header_max", longest)) policy.max_grpc_timeout = longest;
  const EnvoyMessage retry = message.message("retry_policy", "RetryPolicy");
  policy.retry = retry.present() ? read_retry(retry) : around.retry;
  policy.hash = read_hash_policy(message);
  for (const EnvoyMessage& item : message.messages("request_mirror_policies", "RequestMirrorPolicy")) {
    Mirror& mirror = route.mirrors.emplace_back();
    if (item.require("cluster") != nullptr) read_envoy_cluster_name(item, "cluster", mirror.cluster, draft);
    mirror.percent = read_fraction(item, "runtime_fraction");
  }
}

RedirectAction read_redirect(const EnvoyMessage& message) {
  RedirectAction redirect;
  std::string text;
  message.choice<uint32_t>("response_code", redirect.status,
                           {{"MOVED_PERMANENTLY", 301},
                            {"FOUND", 302},
                            {"SEE_OTHER", 303},
                            {"TEMPORARY_REDIRECT", 307},
                            {"PERMANENT_REDIRECT", 308}});
  message.one_of({"https_redirect", "scheme_redirect"});
  bool https = false;
  if (message.flag("https_redirect", https) && https) redirect.scheme = "https";
  message.text("scheme_redirect", redirect.scheme);
  message.text("host_redirect", redirect.host);
  uint16_t port = 0;
  if (message.number("port_redirect", port, 1)) redirect.port = port;
  message.one_of({"path_redirect", "prefix_rewrite"});
  if (message.text("path_redirect", text)) redirect.path = text;
  if (message.text("prefix_rewrite", text)) redirect.prefix = text;
  message.flag("strip_query", redirect.strip_query);
  return redirect;
}

DirectResponse read_direct_response(const EnvoyMessage& message) {
  DirectResponse response;
  if (message.require("status") != nullptr) message.number("status", response.status, 200, 599);
  message.message("body", "DataSource").text("inline_string", response.body);
  return response;
}

Route read_route(const EnvoyMessage& message, const Around& around, EnvoyDraft& draft) {
  Route route;
  read_envoy_name(message, "name", route.name);
  message.require("match");
  route.match = read_envoy_match(message.message("match", "RouteMatch"));
  route.policy.idle_timeout = around.idle_timeout;
  route.policy.body_timeout = milliseconds(0);
  const std::string_view action = message.one_of({"route", "redirect", "direct_response"});
  if (action == "route") {
    read_forward(message.message(action, "RouteAction"), route, around, draft);
  } else if (action == "redirect") {
    route.action = read_redirect(message.message(action, "RedirectAction"));
  } else if (action == "direct_response") {
    route.action = read_direct_response(message.message(action, "DirectResponseAction"));
  } else {
    message.report(*message.node(), {}, "found no action; accepted: route, redirect or direct_response");
  }
  read_all_edits(message, route.request_headers, route.response_headers);
  const auto append = [](std::vector<HeaderEdit>& to, const std::vector<HeaderEdit>& more) {
    to.insert(to.end(), more.begin(), more.end());
  };
  append(route.request_headers, around.request_headers);
  append(route.response_headers, around.response_headers);
  return route;
}

}  // namespace

RouteConfig read_envoy_routes(const EnvoyMessage& config, milliseconds idle_timeout, EnvoyDraft& draft) {
  RouteConfig routes;
  Around outer;
  outer.idle_timeout = idle_timeout;
  read_all_edits(config, outer.request_headers, outer.response_headers);
  for (const EnvoyMessage& item : config.messages("virtual_hosts", "VirtualHost")) {
    VirtualHost& host = routes.virtual_hosts.emplace_back();
    if (item.require("name") != nullptr) read_envoy_name(item, "name", host.name);
    item.require("domains");
    for (const YamlNode* domain : item.texts("domains")) host.domains.push_back(domain->text);
    Around around;
    around.idle_timeout = idle_timeout;
    read_all_edits(item, around.request_headers, around.response_headers);
    around.request_headers.insert(around.request_headers.end(), outer.request_headers.begin(),
                                  outer.request_headers.end());
    around.response_headers.insert(around.response_headers.end(), outer.response_headers.begin(),
                                   outer.response_headers.end());
    const EnvoyMessage retry = item.message("retry_policy", "RetryPolicy");
    if (retry.present()) around.retry = read_retry(retry);
    for (const EnvoyMessage& route : item.messages("routes", "Route"))
      host.routes.push_back(read_route(route, around, draft));
  }
  return routes;
}

}  // namespace sluice
