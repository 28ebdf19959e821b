#include "lb/l7/route_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace sluice {
namespace {

// Fields about the connection or the message's framing (RFC 9110 section 7.6.1, RFC 9112 section 6): the
// proxy's own.
constexpr std::array<std::string_view, 9> kOwnFields = {"connection", "content-length",    "host",
                                                        "keep-alive", "proxy-connection",  "te",
                                                        "trailer",    "transfer-encoding", "upgrade"};

Result<void> check_path(const char* field, std::string_view path, bool query_too) {
  const auto is_visible = [](char c) { return '!' <= c && c <= '~'; };
  if (path.starts_with('/') && std::ranges::all_of(path, is_visible) &&
      path.find('#') == std::string_view::npos && (query_too || path.find('?') == std::string_view::npos)) {
    return {};
  }
  return fail(fmt::format("{}: '{}' is not a path{} that begins with a slash and has neither spaces nor '#'",
                          field, path, query_too ? " or a path with a query" : " without a query"));
}

Result<void> check_host(const char* field, std::string_view host) {
  const auto is_host = [](char c) {
    return '!' <= c && c <= '~' && std::string_view("/?#@").find(c) == std::string_view::npos;
  };
  if (!host.empty() && std::ranges::all_of(host, is_host)) return {};
  return fail(fmt::format("{}: '{}' is not a host", field, host));
}

Result<void> check(const ForwardAction& forward) {
  if (forward.clusters.empty()) return fail("no cluster to forward to");
  uint64_t sum = 0;
  for (const WeightedCluster& target : forward.clusters) {
    if (target.weight > 1'000'000) {
      return fail(fmt::format("cluster '{}': weight {} is not in 0..1000000", target.cluster, target.weight));
    }
    sum += target.weight;
  }
  if (sum == 0) return fail("all clusters have weight 0: nothing to draw from");
  return {};
}

Result<void> check(const RedirectAction& redirect) {
  constexpr std::array<uint32_t, 5> kStatuses = {301, 302, 303, 307, 308};
  if (std::ranges::find(kStatuses, redirect.status) == kStatuses.end()) {
    return fail(fmt::format("redirect: status {} is not 301, 302, 303, 307 or 308", redirect.status));
  }
  if (!redirect.scheme.empty() && redirect.scheme != "http" && redirect.scheme != "https") {
    return fail(fmt::format("redirect: scheme '{}' is not http or https", redirect.scheme));
  }
  if (redirect.path && redirect.prefix) return fail("redirect: either path or prefix, not both");
  if (redirect.path) {
    if (auto accepted = check_path("redirect: path", *redirect.path, true); !accepted) return accepted;
  }
  if (redirect.prefix && !redirect.prefix->empty()) {
    if (auto accepted = check_path("redirect: prefix", *redirect.prefix, false); !accepted) return accepted;
  }
  if (!redirect.host.empty()) {
    if (auto accepted = check_host("redirect: host", redirect.host); !accepted) return accepted;
  }
  const bool changes = !redirect.scheme.empty() || !redirect.host.empty() || redirect.port || redirect.path ||
                       redirect.prefix || redirect.strip_query;
  if (!changes)
    return fail("redirect: to the very same place, for ever; give a scheme, host, port, path or prefix");
  return {};
}

Result<void> check(const DirectResponse& response) {
  if (response.status < 200 || response.status > 599) {
    return fail(fmt::format("direct response: status {} is not in 200..599", response.status));
  }
  const bool bodiless = response.status == 204 || response.status == 304;
  if (bodiless && !response.body.empty()) {
    return fail(fmt::format("direct response: an answer with status {} has no body", response.status));
  }
  if (!is_field_value(response.content_type)) {
    return fail(fmt::format("direct response: '{}' is not a content type", response.content_type));
  }
  return {};
}

Result<void> check(const Rewrite& rewrite, bool forwards) {
  const int paths = (rewrite.path ? 1 : 0) + (rewrite.prefix ? 1 : 0) + (rewrite.regex ? 1 : 0);
  if (paths > 1) return fail("rewrite: at most one of path, prefix and regex");
  if ((paths > 0 || rewrite.host) && !forwards) return fail("rewrite: only for requests that are forwarded");
  if (!rewrite.substitution.empty() && !rewrite.regex) return fail("rewrite: a substitution needs a regex");
  if (rewrite.path) {
    if (auto accepted = check_path("rewrite: path", *rewrite.path, false); !accepted) return accepted;
  }
  if (rewrite.prefix && !rewrite.prefix->empty()) {
    if (auto accepted = check_path("rewrite: prefix", *rewrite.prefix, false); !accepted) return accepted;
  }
  if (rewrite.host) return check_host("rewrite: host", *rewrite.host);
  return {};
}

Result<void> check(const std::vector<HeaderEdit>& edits, const char* field) {
  for (const HeaderEdit& edit : edits) {
    const std::string name = to_ascii_lower(edit.name);
    if (!is_field_name(name))
      return fail(fmt::format("{}: '{}' is not the name of a header", field, edit.name));
    if (std::ranges::find(kOwnFields, name) != kOwnFields.end()) {
      return fail(fmt::format("{}: '{}' is the proxy's own to set{}", field, edit.name,
                              name == "host" ? "; use rewrite.host" : ""));
    }
    if (!is_field_value(edit.value))
      return fail(fmt::format("{}: '{}' has a value that no header may have", field, edit.name));
    if (edit.kind == HeaderEditKind::kRemove && !edit.value.empty()) {
      return fail(fmt::format("{}: '{}' is removed whatever its value; give none", field, edit.name));
    }
  }
  return {};
}

Result<void> check(const std::vector<KeyPart>& parts, const char* field) {
  for (const KeyPart& part : parts) {
    const bool named = part.key == RequestKey::kHeader || part.key == RequestKey::kCookie ||
                       part.key == RequestKey::kQueryParameter;
    if (named == part.name.empty()) {
      return fail(fmt::format(
          "{}: a header, cookie or query parameter needs a name, and nothing else has one", field));
    }
    if (part.key == RequestKey::kHeader && !is_field_name(to_ascii_lower(part.name))) {
      return fail(fmt::format("{}: '{}' is not the name of a header", field, part.name));
    }
    if (part.key == RequestKey::kCookie && !is_field_name(to_ascii_lower(part.name))) {
      return fail(fmt::format("{}: '{}' is not the name of a cookie", field, part.name));
    }
  }
  return {};
}

Result<void> check(const RoutePolicy& policy) {
  if (policy.request_timeout.count() < 0) return fail("request_timeout: a negative time; 0 is none");
  if (policy.idle_timeout.count() < 0) return fail("idle_timeout: a negative time; 0 is none");
  if (policy.body_timeout.count() < 0) return fail("body_timeout: a negative time; 0 is none");
  if (policy.max_grpc_timeout && policy.max_grpc_timeout->count() < 0) {
    return fail("max_grpc_timeout: a negative time; 0 is any");
  }
  if (policy.rate_limit) {
    // Written so that a NaN is refused too.
    if (!(policy.rate_limit->per_second > 0 && policy.rate_limit->per_second <= kMaxRatePerSecond)) {
      return fail(fmt::format("rate_limit: {} per second is not above 0 and at most {}",
                              policy.rate_limit->per_second, kMaxRatePerSecond));
    }
    if (policy.rate_limit->burst == 0)
      return fail("rate_limit: a burst of 0 lets nothing through; 1 or more");
  } else if (!policy.rate_limit_key.empty()) {
    return fail("rate_limit_key: without a rate_limit");
  }
  if (policy.retry) {
    const RetryPolicy& retry = *policy.retry;
    if (retry.per_try_timeout.count() < 0) return fail("retry: per_try_timeout: a negative time; 0 is none");
    if (retry.backoff.base.count() < 0 || retry.backoff.max < retry.backoff.base) {
      return fail("retry: backoff: base must be 0 or above, max at least base");
    }
    const bool wants_statuses = (retry.on & kRetryStatuses) != 0;
    if (wants_statuses == retry.statuses.empty())
      return fail("retry: statuses and the condition that names them go together");
    for (const uint32_t status : retry.statuses) {
      if (status < 100 || status > 599)
        return fail(fmt::format("retry: status {} is not in 100..599", status));
    }
    const bool wants_grpc = (retry.on & kRetryGrpcStatuses) != 0;
    if (wants_grpc == (retry.grpc_statuses == 0)) {
      return fail("retry: grpc_statuses and the condition that names them go together");
    }
  }
  if (auto accepted = check(policy.rate_limit_key, "rate_limit_key"); !accepted) return accepted;
  return check(policy.hash, "hash");
}

}  // namespace

bool is_field_name(std::string_view name) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::ranges::all_of(name, [&](char c) {
    return ('a' <= c && c <= 'z') || ('0' <= c && c <= '9') || kMarks.find(c) != std::string_view::npos;
  });
}

bool is_field_value(std::string_view value) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t'; };
  if (!value.empty() && (is_space(value.front()) || is_space(value.back()))) return false;
  return std::ranges::all_of(value, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
  });
}

Result<void> check_route(const Route& route) {
  if (auto accepted = std::visit([](const auto& action) { return check(action); }, route.action); !accepted) {
    return accepted;
  }
  const bool forwards = std::holds_alternative<ForwardAction>(route.action);
  if (auto accepted = check(route.rewrite, forwards); !accepted) return accepted;
  if (!route.mirrors.empty() && !forwards) return fail("mirrors: only for requests that are forwarded");
  for (const Mirror& mirror : route.mirrors) {
    if (!(mirror.percent >= 0 && mirror.percent <= 100)) {
      return fail(fmt::format("mirror '{}': {} percent is not in 0..100", mirror.cluster, mirror.percent));
    }
  }
  if (auto accepted = check(route.request_headers, "request_headers"); !accepted) return accepted;
  if (auto accepted = check(route.response_headers, "response_headers"); !accepted) return accepted;
  return check(route.policy);
}

}  // namespace sluice
