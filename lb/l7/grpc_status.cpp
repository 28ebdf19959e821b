#include "lb/l7/grpc_status.h"

#include <array>
#include <charconv>

namespace sluice {
namespace {

struct Row {
  std::string_view name;
  uint32_t http;
};

constexpr std::array<Row, kGrpcStatusCount> kRows = {{
    {"OK", 200},
    {"CANCELLED", 499},
    {"UNKNOWN", 500},
    {"INVALID_ARGUMENT", 400},
    {"DEADLINE_EXCEEDED", 504},
    {"NOT_FOUND", 404},
    {"ALREADY_EXISTS", 409},
    {"PERMISSION_DENIED", 403},
    {"RESOURCE_EXHAUSTED", 429},
    {"FAILED_PRECONDITION", 400},
    {"ABORTED", 409},
    {"OUT_OF_RANGE", 400},
    {"UNIMPLEMENTED", 501},
    {"INTERNAL", 500},
    {"UNAVAILABLE", 503},
    {"DATA_LOSS", 500},
    {"UNAUTHENTICATED", 401},
}};

}  // namespace

std::optional<GrpcStatus> parse_grpc_status(std::string_view text) {
  uint32_t code = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), code);
  if (text.empty() || end != text.data() + text.size() || error == std::errc::invalid_argument)
    return std::nullopt;
  if (error != std::errc{} || code >= kGrpcStatusCount) return GrpcStatus::kUnknown;
  return static_cast<GrpcStatus>(code);
}

std::string_view grpc_status_name(GrpcStatus status) {
  return kRows[static_cast<size_t>(status)].name;
}

std::optional<GrpcStatus> grpc_status_of_name(std::string_view name) {
  for (size_t i = 0; i < kRows.size(); ++i) {
    if (kRows[i].name == name) return static_cast<GrpcStatus>(i);
  }
  return std::nullopt;
}

uint32_t http_status_of(GrpcStatus status) {
  return kRows[static_cast<size_t>(status)].http;
}

GrpcStatus grpc_status_of_http(uint32_t status) {
  switch (status) {
    case 400:
      return GrpcStatus::kInternal;
    case 401:
      return GrpcStatus::kUnauthenticated;
    case 403:
      return GrpcStatus::kPermissionDenied;
    case 404:
      return GrpcStatus::kUnimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return GrpcStatus::kUnavailable;
    default:
      return GrpcStatus::kUnknown;
  }
}

}  // namespace sluice
