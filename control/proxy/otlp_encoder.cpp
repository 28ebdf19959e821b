#include "control/proxy/otlp_encoder.h"

#include <fmt/compile.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>

#include "dataplane/l7/log_escape.h"
#include "dataplane/l7/span_record.h"
#include "lb/l7/grpc_status.h"

namespace sluice {
namespace {

using l7::Outcome;
using l7::SpanError;
using l7::SpanKind;
using l7::SpanRecord;
using l7::SpanText;
using l7::SpanView;

// trace.proto, Status.StatusCode.
constexpr int kStatusError = 2;

// HTTP semantic conventions: methods that are not well known would make as many names.
constexpr std::array<std::string_view, 9> kMethods{"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS",
                                                   "PATCH",   "POST",   "PUT", "TRACE"};

void append_json_text(std::string& json, std::string_view text) {
  json += '"';
  l7::append_json_escaped(json, text);
  json += '"';
}

bool is_known(std::string_view method) {
  return std::ranges::find(kMethods, method) != kMethods.end();
}

class Attributes {
 public:
  explicit Attributes(std::string& json) : json_(json) { json_ += "\"attributes\":["; }
  void text(std::string_view key, std::string_view value) {
    if (value.empty()) return;
    begin(key);
    json_ += "\"stringValue\":";
    append_json_text(json_, value);
    json_ += "}}";
  }
  void number(std::string_view key, uint64_t value) {
    begin(key);
    fmt::format_to(std::back_inserter(json_), FMT_COMPILE("\"intValue\":\"{}\"}}}}"), value);
  }
  void flag(std::string_view key) {
    begin(key);
    json_ += "\"boolValue\":true}}";
  }
  void end() { json_ += ']'; }

 private:
  // Keys are our own: nothing to be escaped.
  void begin(std::string_view key) {
    json_ += first_ ? "{\"key\":\"" : ",{\"key\":\"";
    json_ += key;
    json_ += "\",\"value\":{";
    first_ = false;
  }
  std::string& json_;
  bool first_ = true;
};

struct HostPort {
  std::string_view host;
  uint16_t port = 0;
};

// "example.com:8080", "[::1]", "example.com"
HostPort split_authority(std::string_view authority) {
  HostPort result{authority, 0};
  const size_t colon = authority.rfind(':');
  if (colon != std::string_view::npos && authority.find(']', colon) == std::string_view::npos) {
    uint16_t port = 0;
    const char* end = authority.data() + authority.size();
    const auto parsed = std::from_chars(authority.data() + colon + 1, end, port);
    if (parsed.ec == std::errc{} && parsed.ptr == end) result = {authority.substr(0, colon), port};
  }
  if (result.host.starts_with('[') && result.host.ends_with(']'))
    result.host = result.host.substr(1, result.host.size() - 2);
  return result;
}

struct RpcName {
  std::string_view service;
  std::string_view method;
};

// "/package.Service/Method"
RpcName split_rpc(std::string_view path) {
  if (path.starts_with('/')) path.remove_prefix(1);
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return {path, {}};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

// Conventions for gRPC: what is the server's fault. To the caller each code but OK is an error.
bool is_grpc_error(const SpanRecord& span) {
  if (span.grpc_status == SpanRecord::kNoGrpcStatus) return false;
  if (span.kind == SpanKind::kClient) return span.grpc_status != 0;
  switch (static_cast<GrpcStatus>(span.grpc_status)) {
    case GrpcStatus::kUnknown:
    case GrpcStatus::kDeadlineExceeded:
    case GrpcStatus::kUnimplemented:
    case GrpcStatus::kInternal:
    case GrpcStatus::kUnavailable:
    case GrpcStatus::kDataLoss:
      return true;
    default:
      return false;
  }
}

std::string_view error_name(SpanError error) {
  switch (error) {
    case SpanError::kNone:
      return "";
    case SpanError::kRefused:
      return "refused";
    case SpanError::kReset:
      return "reset";
    case SpanError::kTimeout:
      return "timeout";
    case SpanError::kCancelled:
      return "cancelled";
  }
  return "";
}

struct Verdict {
  bool error = false;
  std::string type;  ///< error.type; "": none
};

Verdict judge(const SpanRecord& span) {
  Verdict verdict;
  const bool client = span.kind == SpanKind::kClient;
  const bool own = !client && span.outcome != Outcome::kAnswered && span.outcome != Outcome::kDirect &&
                   span.outcome != Outcome::kClientGone;
  const bool bad_status = span.status >= (client ? 400 : 500);
  const bool broken = client && span.error != SpanError::kNone && span.error != SpanError::kCancelled;
  verdict.error = bad_status || broken || is_grpc_error(span) || (own && text_of(span.outcome).status >= 500);
  if (own) {
    verdict.type = text_of(span.outcome).name;
  } else if (client && span.error != SpanError::kNone) {
    verdict.type = error_name(span.error);
  } else if (bad_status) {
    verdict.type = std::to_string(span.status);
  } else if (is_grpc_error(span)) {
    verdict.type = grpc_status_name(static_cast<GrpcStatus>(span.grpc_status));
  }
  return verdict;
}

void append_name(std::string& json, const SpanView& span) {
  json += "\"name\":";
  std::string_view name = span.text(SpanText::kMethod);
  if (span.record.grpc) {
    name = span.text(SpanText::kPath);
    if (name.starts_with('/')) name.remove_prefix(1);
  } else if (!is_known(name)) {
    name = "HTTP";
  }
  append_json_text(json, name);
}

void append_ids(std::string& json, const SpanRecord& span) {
  std::array<char, 16> digits;
  const auto append = [&](uint64_t number) {
    write_hex(number, digits.data());
    json.append(digits.data(), digits.size());
  };
  json += "{\"traceId\":\"";
  append(span.trace.high);
  append(span.trace.low);
  json += "\",\"spanId\":\"";
  append(span.span);
  if (span.parent != 0) {
    json += "\",\"parentSpanId\":\"";
    append(span.parent);
  }
  json += "\",";
}

void append_method(Attributes& attributes, std::string_view method) {
  const bool known = is_known(method);
  attributes.text("http.request.method", known ? method : "_OTHER");
  if (!known) attributes.text("http.request.method_original", method);
}

void append_rpc(Attributes& attributes, const SpanView& span) {
  if (!span.record.grpc) return;
  const RpcName name = split_rpc(span.text(SpanText::kPath));
  attributes.text("rpc.system", "grpc");
  attributes.text("rpc.service", name.service);
  attributes.text("rpc.method", name.method);
  if (span.record.grpc_status != SpanRecord::kNoGrpcStatus)
    attributes.number("rpc.grpc.status_code", span.record.grpc_status);
}

void append_server(Attributes& attributes, const SpanView& span) {
  const HostPort server = split_authority(span.text(SpanText::kAuthority));
  attributes.text("url.scheme", span.text(SpanText::kScheme));
  attributes.text("url.path", span.text(SpanText::kPath));
  attributes.text("server.address", server.host);
  if (server.port != 0) attributes.number("server.port", server.port);
  attributes.text("client.address", span.record.peer.address.to_string());
  attributes.text("user_agent.original", span.text(SpanText::kUserAgent));
  attributes.text("sluice.listener", span.text(SpanText::kListener));
  attributes.text("sluice.virtual_host", span.text(SpanText::kVirtualHost));
  attributes.text("sluice.route", span.text(SpanText::kRoute));
  attributes.text("sluice.outcome", text_of(span.record.outcome).name);
  attributes.number("sluice.tries", span.record.tries);
}

void append_client(Attributes& attributes, const SpanView& span) {
  const EndpointId& endpoint = span.record.peer;
  attributes.text("server.address", endpoint.address.to_string());
  attributes.number("server.port", endpoint.port);
  attributes.text("url.full", fmt::format("{}://{}{}", span.record.secure ? "https" : "http",
                                          endpoint.to_string(), span.text(SpanText::kPath)));
  if (span.record.tries != 0) attributes.number("http.request.resend_count", span.record.tries);
  if (span.record.mirror) attributes.flag("sluice.mirror");
}

}  // namespace

std::string otlp_head(const OtlpResource& resource) {
  std::string json = "{\"resourceSpans\":[{\"resource\":{";
  Attributes attributes(json);
  attributes.text("service.name", resource.service_name);
  attributes.text("service.instance.id", resource.instance);
  attributes.text("service.version", resource.version);
  attributes.end();
  json += "},\"scopeSpans\":[{\"scope\":{\"name\":\"sluice-proxy\",\"version\":";
  append_json_text(json, resource.version);
  json += "},\"spans\":[";
  return json;
}

void append_otlp_span(std::string& json, std::span<const uint8_t> message) {
  const SpanView span = l7::read_span(message);
  const SpanRecord& record = span.record;
  append_ids(json, record);
  if (const auto state = span.text(SpanText::kTracestate); !state.empty()) {
    json += "\"traceState\":";
    append_json_text(json, state);
    json += ',';
  }
  append_name(json, span);
  fmt::format_to(std::back_inserter(json),
                 FMT_COMPILE(",\"kind\":{},\"startTimeUnixNano\":\"{}\",\"endTimeUnixNano\":\"{}\","),
                 static_cast<int>(record.kind), record.start_ns, record.end_ns);
  Attributes attributes(json);
  append_method(attributes, span.text(SpanText::kMethod));
  if (record.kind == SpanKind::kServer) {
    append_server(attributes, span);
  } else {
    append_client(attributes, span);
  }
  attributes.text("sluice.cluster", span.text(SpanText::kCluster));
  attributes.text("network.protocol.version", record.http_version == 1 ? "1.1" : "2");
  if (record.status != 0) attributes.number("http.response.status_code", record.status);
  append_rpc(attributes, span);
  const Verdict verdict = judge(record);
  attributes.text("error.type", verdict.type);
  attributes.end();
  if (verdict.error)
    fmt::format_to(std::back_inserter(json), FMT_COMPILE(",\"status\":{{\"code\":{}}}"), kStatusError);
  json += '}';
}

}  // namespace sluice
