// gRPC's status codes (grpc: doc/statuscodes.md) and what they are in HTTP.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice {

enum class GrpcStatus : uint8_t {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};
inline constexpr uint32_t kGrpcStatusCount = 17;

/// The value of a grpc-status field: a decimal number. One that is not known is kUnknown; nothing if it is no
/// number.
std::optional<GrpcStatus> parse_grpc_status(std::string_view text);

/// "UNAVAILABLE".
std::string_view grpc_status_name(GrpcStatus status);
/// The code of such a name, in capitals.
std::optional<GrpcStatus> grpc_status_of_name(std::string_view name);

/// The HTTP status that says the same (google.rpc.Code); 499 for kCancelled.
uint32_t http_status_of(GrpcStatus status);

/// What a gRPC client makes of an answer that is no gRPC (grpc: doc/http-grpc-status-mapping.md).
GrpcStatus grpc_status_of_http(uint32_t status);

}  // namespace sluice
