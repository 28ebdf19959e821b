#include "control/health/grpc_health.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <optional>

#include "lb/result.h"

namespace sluice::control {

namespace {

constexpr size_t kPrefixSize = 5;  ///< compressed flag, length in network order

/// grpc/status.h; the index is the code.
constexpr std::array<std::string_view, 17> kStatusNames = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};
constexpr unsigned kNotFound = 5;
constexpr unsigned kUnimplemented = 12;

/// HealthCheckResponse.ServingStatus.
constexpr std::array<std::string_view, 4> kServingNames = {"UNKNOWN", "SERVING", "NOT_SERVING",
                                                           "SERVICE_UNKNOWN"};
constexpr uint64_t kServing = 1;

/// A protobuf base 128 integer; taken off the front.
std::optional<uint64_t> take_varint(std::string_view& bytes) {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

/// Field 1 of a HealthCheckResponse, 0 if it is not in it; fields that are not known are skipped.
std::optional<uint64_t> serving_status(std::string_view message) {
  uint64_t status = 0;
  while (!message.empty()) {
    const auto tag = take_varint(message);
    if (!tag) return std::nullopt;
    std::optional<uint64_t> skip = 0;
    switch (*tag & 7) {
      case 0: {
        const auto value = take_varint(message);
        if (!value) return std::nullopt;
        if (*tag >> 3 == 1) status = *value;
        break;
      }
      case 1:
        skip = 8;
        break;
      case 2:
        skip = take_varint(message);
        break;
      case 5:
        skip = 4;
        break;
      default:
        return std::nullopt;
    }
    if (!skip || *skip > message.size()) return std::nullopt;
    message.remove_prefix(*skip);
  }
  return status;
}

/// The first message of a gRPC body.
std::optional<std::string_view> message_of(std::string_view body) {
  if (body.size() < kPrefixSize || body[0] != 0) return std::nullopt;
  size_t length = 0;
  for (size_t i = 1; i < kPrefixSize; ++i) length = length << 8 | static_cast<uint8_t>(body[i]);
  if (body.size() - kPrefixSize < length) return std::nullopt;
  return body.substr(kPrefixSize, length);
}

std::string service_words(std::string_view service) {
  return service.empty() ? std::string("the server") : fmt::format("service '{}'", printable(service, 60));
}

std::string status_error(std::string_view text, std::string_view message, std::string_view service) {
  unsigned code = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), code);
  if (parsed.ec != std::errc() || code >= kStatusNames.size()) {
    return fmt::format("gRPC status '{}' is none", printable(text, 20));
  }
  if (code == kNotFound)
    return fmt::format("gRPC status NOT_FOUND: the server does not know {}", service_words(service));
  if (code == kUnimplemented) return "gRPC status UNIMPLEMENTED: the server has no grpc.health.v1.Health";
  return message.empty() ? fmt::format("gRPC status {}", kStatusNames[code])
                         : fmt::format("gRPC status {}: {}", kStatusNames[code], printable(message, 100));
}

}  // namespace

std::string grpc_health_request(std::string_view service) {
  std::string message;
  if (!service.empty()) {
    message += '\x0a';  // field 1, length-delimited
    for (size_t length = service.size();; length >>= 7) {
      const bool last = length < 0x80;
      message += static_cast<char>((length & 0x7f) | (last ? 0 : 0x80));
      if (last) break;
    }
    message += service;
  }
  std::string request(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8) request += static_cast<char>(message.size() >> shift & 0xff);
  return request + message;
}

CheckResult judge_grpc_health(const Http2Answer& answer, std::string_view service) {
  if (answer.status() != 200) {
    return CheckResult::bad(fmt::format("HTTP status {}, expected 200 from a gRPC server", answer.status()));
  }
  // An answer without a message has its status in its only headers.
  const bool trailers_only = Http2Answer::find(answer.trailers, "grpc-status").empty();
  const Http2Headers& last = trailers_only ? answer.headers : answer.trailers;
  const std::string_view status = Http2Answer::find(last, "grpc-status");
  if (status.empty()) return CheckResult::bad("answer has no grpc-status: not a gRPC server");
  if (status != "0") {
    return CheckResult::bad(status_error(status, Http2Answer::find(last, "grpc-message"), service));
  }
  const auto message = message_of(answer.body);
  const auto serving = message ? serving_status(*message) : std::nullopt;
  if (!serving) return CheckResult::bad("answer is no grpc.health.v1.HealthCheckResponse");
  if (*serving == kServing) return CheckResult::good();
  const std::string_view name =
      *serving < kServingNames.size() ? kServingNames[*serving] : "outside the protocol";
  return CheckResult::bad(fmt::format("gRPC health of {} is {}", service_words(service), name));
}

}  // namespace sluice::control
