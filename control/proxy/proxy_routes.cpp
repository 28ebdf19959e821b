#include "control/proxy/proxy_routes.h"

#include <fmt/format.h>

#include <array>

#include "control/config_duration.h"
#include "control/config_text.h"
#include "control/proxy/proxy_tracing.h"
#include "lb/l7/grpc_status.h"
#include "lb/l7/retry_reasons.h"

namespace sluice {
namespace {

using References = std::vector<ClusterReference>;

Result<std::string> any_text(const std::string& text) {
  return text;
}

Result<std::string> path_text(const std::string& text) {
  if (!text.starts_with('/')) return fail("");
  return text;
}

/// Which of several fields that exclude each other is there: its place in `keys`, or -1. A second one is
/// reported.
template <size_t kCount>
int one_of(const ConfigSection& section, const std::array<std::string_view, kCount>& keys) {
  int found = -1;
  for (size_t i = 0; i < kCount; ++i) {
    const YamlNode* node = section.find(keys[i]);
    if (node == nullptr) continue;
    if (found >= 0) {
      section.report(*node, keys[i],
                     fmt::format("found beside {}; accepted: one of {}", keys[static_cast<size_t>(found)],
                                 fmt::join(keys, ", ")));
      continue;
    }
    found = static_cast<int>(i);
  }
  return found;
}

std::vector<std::string> texts(const ConfigSection& section, std::string_view key) {
  std::vector<std::string> result;
  if (const auto items = section.scalars(key)) {
    for (const YamlNode* item : *items) result.push_back(item->text);
    if (items->empty()) section.refuse(*section.find(key), key, "empty");
  }
  return result;
}

void read_path(const ConfigSection& section, PathMatch& match) {
  static constexpr std::array<std::string_view, 4> kKeys{"prefix", "segments", "path", "regex"};
  static constexpr std::array kKinds{PathMatchKind::kPrefix, PathMatchKind::kSegments, PathMatchKind::kExact,
                                     PathMatchKind::kRegex};
  const int found = one_of(section, kKeys);
  if (found >= 0) {
    match.kind = kKinds[static_cast<size_t>(found)];
    section.value(kKeys[static_cast<size_t>(found)], match.value,
                  match.kind == PathMatchKind::kRegex ? any_text : path_text);
  }
  section.flag("ignore_case", match.ignore_case);
}

std::vector<NamedMatch> read_matches(const ConfigSection& parent, std::string_view key) {
  static constexpr std::array<std::string_view, 5> kKeys{"exact", "prefix", "suffix", "contains", "regex"};
  static constexpr std::array kKinds{TextMatchKind::kExact, TextMatchKind::kPrefix, TextMatchKind::kSuffix,
                                     TextMatchKind::kContains, TextMatchKind::kRegex};
  std::vector<NamedMatch> matches;
  for (const ConfigSection& section : parent.sections(key)) {
    NamedMatch& match = matches.emplace_back();
    section.value("name", match.name, any_text);
    const int found = one_of(section, kKeys);
    if (found >= 0) {
      match.match.kind = kKinds[static_cast<size_t>(found)];
      section.value(kKeys[static_cast<size_t>(found)], match.match.value, any_text);
    }
    section.flag("ignore_case", match.match.ignore_case);
    section.flag("invert", match.match.invert);
  }
  return matches;
}

void read_match(const ConfigSection& section, RouteMatch& match) {
  read_path(section, match.path);
  match.methods = texts(section, "methods");
  GrpcMatch grpc;
  const bool service = section.value("grpc_service", grpc.service, any_text) != nullptr;
  const bool method = section.value("grpc_method", grpc.method, any_text) != nullptr;
  if (service || method) match.grpc = grpc;
  match.headers = read_matches(section, "headers");
  match.query = read_matches(section, "query");
}

void read_cluster_name(const ConfigSection& section, std::string& into, References& references) {
  if (const YamlNode* node = section.value("cluster", into, parse_name))
    references.push_back({section, node});
}

RedirectAction read_redirect(const ConfigSection& section) {
  RedirectAction redirect;
  section.choice<uint32_t>("status", redirect.status,
                           {{"301", 301}, {"302", 302}, {"303", 303}, {"307", 307}, {"308", 308}});
  section.choice<std::string>("scheme", redirect.scheme, {{"http", "http"}, {"https", "https"}});
  section.value("host", redirect.host, any_text);
  uint16_t port = 0;
  if (section.number("port", port)) redirect.port = port;
  std::string path;
  if (section.value("path", path, path_text)) redirect.path = path;
  if (section.value("prefix", path, path_text)) redirect.prefix = path;
  section.flag("strip_query", redirect.strip_query);
  return redirect;
}

DirectResponse read_response(const ConfigSection& section) {
  DirectResponse response;
  section.number("status", response.status);
  section.value("body", response.body, any_text);
  section.value("content_type", response.content_type, any_text);
  return response;
}

void read_action(const ConfigSection& section, Route& route, References& references) {
  static constexpr std::array<std::string_view, 4> kKeys{"cluster", "clusters", "redirect", "respond"};
  ForwardAction forward;
  switch (one_of(section, kKeys)) {
    case 0:
      read_cluster_name(section, forward.clusters.emplace_back().cluster, references);
      break;
    case 1:
      for (const ConfigSection& item : section.sections("clusters")) {
        read_cluster_name(item, forward.clusters.emplace_back().cluster, references);
        item.number("weight", forward.clusters.back().weight);
      }
      break;
    case 2:
      route.action = read_redirect(section.section("redirect"));
      return;
    case 3:
      route.action = read_response(section.section("respond"));
      return;
    default:
      if (section.node() != nullptr) {
        section.report(*section.node(), {},
                       fmt::format("found no action; accepted: one of {}", fmt::join(kKeys, ", ")));
      }
  }
  route.action = std::move(forward);
}

void read_mirrors(const ConfigSection& parent, Route& route, References& references) {
  for (const ConfigSection& section : parent.sections("mirrors")) {
    Mirror& mirror = route.mirrors.emplace_back();
    read_cluster_name(section, mirror.cluster, references);
    section.value("percent", mirror.percent, parse_percent);
  }
}

void read_rewrite(const ConfigSection& section, Rewrite& rewrite) {
  std::string text;
  if (section.value("host", text, any_text)) rewrite.host = text;
  if (section.value("path", text, path_text)) rewrite.path = text;
  if (section.value("prefix", text, path_text)) rewrite.prefix = text;
  if (section.value("regex", text, any_text)) rewrite.regex = text;
  section.value("substitution", rewrite.substitution, any_text);
}

std::vector<HeaderEdit> read_edits(const ConfigSection& parent, std::string_view key) {
  static constexpr std::array<std::string_view, 4> kKeys{"set", "add", "add_if_absent", "remove"};
  static constexpr std::array kKinds{HeaderEditKind::kSet, HeaderEditKind::kAdd, HeaderEditKind::kAddIfAbsent,
                                     HeaderEditKind::kRemove};
  std::vector<HeaderEdit> edits;
  for (const ConfigSection& section : parent.sections(key)) {
    HeaderEdit& edit = edits.emplace_back();
    const int found = one_of(section, kKeys);
    if (found < 0) {
      if (section.node() != nullptr)
        section.report(*section.node(), {},
                       fmt::format("found no change; accepted: one of {}", fmt::join(kKeys, ", ")));
      continue;
    }
    edit.kind = kKinds[static_cast<size_t>(found)];
    section.value(kKeys[static_cast<size_t>(found)], edit.name, any_text);
    section.value("value", edit.value, any_text);
  }
  return edits;
}

std::vector<KeyPart> read_keys(const ConfigSection& parent, std::string_view key) {
  static constexpr std::array<std::string_view, 5> kKeys{"header", "cookie", "query", "path",
                                                         "source_address"};
  static constexpr std::array kKinds{RequestKey::kHeader, RequestKey::kCookie, RequestKey::kQueryParameter,
                                     RequestKey::kPath, RequestKey::kSourceAddress};
  std::vector<KeyPart> parts;
  for (const ConfigSection& section : parent.sections(key)) {
    KeyPart& part = parts.emplace_back();
    const int found = one_of(section, kKeys);
    if (found < 0) {
      if (section.node() != nullptr)
        section.report(*section.node(), {},
                       fmt::format("found no key; accepted: one of {}", fmt::join(kKeys, ", ")));
      continue;
    }
    part.key = kKinds[static_cast<size_t>(found)];
    if (found < 3) section.value(kKeys[static_cast<size_t>(found)], part.name, any_text);
    section.flag("terminal", part.terminal);
    read_seconds(section, "cookie_ttl", part.cookie_ttl);
    section.value("cookie_path", part.cookie_path, path_text);
  }
  return parts;
}

RetryPolicy read_retry(const ConfigSection& section) {
  RetryPolicy retry;
  if (const auto reasons = section.scalars("on")) {
    retry.on = 0;
    for (const YamlNode* item : *reasons) {
      const auto reason = std::find_if(kRetryReasons.begin(), kRetryReasons.end(),
                                       [item](const auto& known) { return known.first == item->text; });
      if (reason == kRetryReasons.end()) {
        section.refuse(*item, "on");
      } else {
        retry.on |= reason->second;
      }
    }
  }
  if (const auto statuses = section.scalars("statuses")) {
    retry.on |= kRetryStatuses;
    for (const YamlNode* item : *statuses) {
      const auto status = parse_decimal<uint32_t>(item->text);
      if (!status || *status < 100 || *status > 599) {
        section.refuse(*item, "statuses");
      } else {
        retry.statuses.push_back(*status);
      }
    }
  }
  if (const auto statuses = section.scalars("grpc_statuses")) {
    retry.on |= kRetryGrpcStatuses;
    for (const YamlNode* item : *statuses) {
      const auto status = grpc_status_of_name(item->text);
      if (!status) {
        section.refuse(*item, "grpc_statuses");
      } else {
        retry.grpc_statuses |= 1u << static_cast<uint32_t>(*status);
      }
    }
  }
  section.number("max_retries", retry.max_retries);
  read_milliseconds(section, "per_try_timeout", retry.per_try_timeout);
  read_milliseconds(section, "hedge_after", retry.hedge_after);
  read_milliseconds(section, "backoff_base", retry.backoff.base);
  read_milliseconds(section, "backoff_max", retry.backoff.max);
  section.flag("any_method", retry.any_method);
  return retry;
}

void read_policy(const ConfigSection& section, RoutePolicy& policy) {
  read_milliseconds(section, "request_timeout", policy.request_timeout);
  read_milliseconds(section, "idle_timeout", policy.idle_timeout);
  read_milliseconds(section, "body_timeout", policy.body_timeout);
  std::chrono::milliseconds longest{0};
  read_milliseconds(section, "max_grpc_timeout", longest);
  policy.max_grpc_timeout = longest;
  section.number("max_request_bytes", policy.max_request_bytes);
  read_sample_ratio(section, "trace_percent", policy.trace_sample);
  if (const ConfigSection retry = section.section("retry"); retry.node() != nullptr)
    policy.retry = read_retry(retry);
  if (const ConfigSection limit = section.section("rate_limit"); limit.node() != nullptr) {
    RateLimit& rate = policy.rate_limit.emplace();
    uint32_t per_second = 1;
    limit.number("per_second", per_second);
    rate.per_second = per_second;
    limit.number("burst", rate.burst);
    policy.rate_limit_key = read_keys(limit, "by");
  }
  policy.hash = read_keys(section, "hash");
}

Route read_route(const ConfigSection& section, References& references) {
  Route route;
  section.value("name", route.name, parse_name);
  read_match(section, route.match);
  read_action(section, route, references);
  read_mirrors(section, route, references);
  read_rewrite(section.section("rewrite"), route.rewrite);
  route.request_headers = read_edits(section, "request_headers");
  route.response_headers = read_edits(section, "response_headers");
  read_policy(section, route.policy);
  return route;
}

}  // namespace

RouteConfig read_routes(const ConfigSection& listener, References& references) {
  RouteConfig config;
  for (const ConfigSection& section : listener.sections("hosts")) {
    VirtualHost& host = config.virtual_hosts.emplace_back();
    section.value("name", host.name, parse_name);
    host.domains = texts(section, "domains");
    for (const ConfigSection& route : section.sections("routes"))
      host.routes.push_back(read_route(route, references));
  }
  return config;
}

RouteConfig everything_to(const std::string& cluster) {
  Route route;
  route.action = ForwardAction{{{cluster, 1}}};
  return {{VirtualHost{"all", {"*"}, {std::move(route)}}}};
}

}  // namespace sluice
