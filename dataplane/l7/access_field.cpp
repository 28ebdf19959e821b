#include "dataplane/l7/access_field.h"

#include <arpa/inet.h>

#include <algorithm>
#include <span>

namespace sluice::l7 {
namespace {

using std::chrono::milliseconds;

std::string_view time_text(std::chrono::system_clock::time_point time, ValueScratch& scratch) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const auto in_day = std::chrono::floor<milliseconds>(time - day).count();
  const auto part = [in_day](int64_t unit, int64_t limit) {
    return static_cast<uint64_t>(in_day / unit % limit);
  };
  return scratch.add_padded(static_cast<uint64_t>(static_cast<int>(date.year())), 4)
      .add("-")
      .add_padded(static_cast<unsigned>(date.month()), 2)
      .add("-")
      .add_padded(static_cast<unsigned>(date.day()), 2)
      .add("T")
      .add_padded(part(3'600'000, 24), 2)
      .add(":")
      .add_padded(part(60'000, 60), 2)
      .add(":")
      .add_padded(part(1000, 60), 2)
      .add(".")
      .add_padded(part(1, 1000), 3)
      .add("Z")
      .view();
}

// In milliseconds, with a thousandth's resolution.
std::string_view duration_text(std::chrono::nanoseconds time, ValueScratch& scratch) {
  const auto microseconds = static_cast<uint64_t>(std::max<int64_t>(time.count(), 0)) / 1000;
  return scratch.add(microseconds / 1000).add(".").add_padded(microseconds % 1000, 3).view();
}

std::string_view duration_text(const std::optional<std::chrono::nanoseconds>& time, ValueScratch& scratch) {
  return time ? duration_text(*time, scratch) : std::string_view{};
}

std::string_view with_port(std::string_view address, uint16_t port, ValueScratch& scratch) {
  const bool brackets = address.find(':') != std::string_view::npos;
  scratch.add(brackets ? "[" : "").add(address).add(brackets ? "]:" : ":");
  return scratch.add(uint64_t{port}).view();
}

std::string_view endpoint_text(const EndpointId& id, ValueScratch& scratch) {
  if (id.address.is_v4()) {
    const uint8_t* bytes = id.address.v4_bytes();
    for (size_t i = 0; i < 4; ++i) scratch.add(i == 0 ? "" : ".").add(uint64_t{bytes[i]});
    return scratch.add(":").add(uint64_t{id.port}).view();
  }
  std::array<char, INET6_ADDRSTRLEN> text;
  const char* address = inet_ntop(AF_INET6, id.address.bytes().data(), text.data(), text.size());
  return with_port(address == nullptr ? "" : address, id.port, scratch);
}

std::string_view flags_text(const RequestRecord& record, ValueScratch& scratch) {
  for (size_t i = 0; i < kRequestEvents; ++i) {
    if (!record.has(static_cast<RequestEvent>(i))) continue;
    scratch.add(scratch.empty() ? "" : ",").add(kRequestEventTexts[i].name);
  }
  return scratch.view();
}

std::string_view hex_text(std::span<const uint8_t> bytes, ValueScratch& scratch) {
  constexpr std::string_view kHex = "0123456789abcdef";
  if (std::all_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte == 0; })) return {};
  for (const uint8_t byte : bytes) scratch.add(kHex.substr(byte >> 4, 1)).add(kHex.substr(byte & 15, 1));
  return scratch.view();
}

std::string_view protocol_text(ClientProtocol protocol) {
  switch (protocol) {
    case ClientProtocol::kHttp10:
      return "HTTP/1.0";
    case ClientProtocol::kHttp11:
      return "HTTP/1.1";
    case ClientProtocol::kHttp2:
      return "HTTP/2";
  }
  return {};
}

std::string_view header_value(const HeaderList* fields, const AccessHeaderName& name) {
  if (fields == nullptr) return {};
  if (name.token != HeaderToken::kOther) return fields->get(name.token);
  for (const HeaderList::Field& field : fields->fields()) {
    if (field.token == HeaderToken::kOther && fields->name(field) == name.name) return fields->value(field);
  }
  return {};
}

std::string_view request_value(const RequestRecord& record, const AccessHeaderName& name) {
  if (name.token == HeaderToken::kPath) return record.path;
  if (name.token == HeaderToken::kAuthority) return record.authority;
  return header_value(record.request, name);
}

}  // namespace

std::string_view value_of(AccessField field, const AccessHeaderName& name, const RequestRecord& record,
                          ValueScratch& scratch) {
  scratch.clear();
  switch (field) {
    case AccessField::kStartTime:
      return time_text(record.began, scratch);
    case AccessField::kProtocol:
      return protocol_text(record.protocol);
    case AccessField::kResponseCode:
      return record.status == 0 ? std::string_view{} : scratch.add(uint64_t{record.status}).view();
    case AccessField::kGrpcStatus:
      return record.grpc_status ? grpc_status_name(*record.grpc_status) : std::string_view{};
    case AccessField::kGrpcStatusNumber:
      return record.grpc_status ? scratch.add(static_cast<uint64_t>(*record.grpc_status)).view()
                                : std::string_view{};
    case AccessField::kOutcome:
      return text_of(record.outcome).name;
    case AccessField::kResponseFlags:
      return flags_text(record, scratch);
    case AccessField::kBytesReceived:
      return scratch.add(record.request_bytes).view();
    case AccessField::kBytesSent:
      return scratch.add(record.response_bytes).view();
    case AccessField::kDuration:
      return duration_text(record.whole, scratch);
    case AccessField::kRequestDuration:
      return duration_text(record.until_request_end, scratch);
    case AccessField::kResponseDuration:
      return duration_text(record.until_answer, scratch);
    case AccessField::kUpstreamDuration:
      return duration_text(record.endpoint_took, scratch);
    case AccessField::kClient:
      return with_port(record.client_address, record.client_port, scratch);
    case AccessField::kClientWithoutPort:
      return record.client_address;
    case AccessField::kListener:
      return record.listener;
    case AccessField::kVirtualHost:
      return record.virtual_host;
    case AccessField::kRoute:
      return record.route;
    case AccessField::kCluster:
      return record.cluster;
    case AccessField::kEndpoint:
      return record.endpoint == nullptr ? std::string_view{} : endpoint_text(*record.endpoint, scratch);
    case AccessField::kTries:
      return scratch.add(uint64_t{record.tries}).view();
    case AccessField::kUpstreamPath:
      return record.endpoint == nullptr ? std::string_view{} : record.request->get(HeaderToken::kPath);
    case AccessField::kTlsVersion:
      return record.tls_version;
    case AccessField::kServerName:
      return record.server_name;
    case AccessField::kAlpn:
      return record.alpn;
    case AccessField::kTraceId:
      return hex_text(record.trace_id, scratch);
    case AccessField::kSpanId:
      return hex_text(record.span_id, scratch);
    case AccessField::kRequestField:
      return request_value(record, name);
    case AccessField::kResponseField:
      return header_value(record.response, name);
    case AccessField::kTrailerField:
      return header_value(record.trailers, name);
  }
  return {};
}

}  // namespace sluice::l7
