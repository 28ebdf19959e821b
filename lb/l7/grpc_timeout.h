// The grpc-timeout header field: how long a gRPC client is willing to wait (grpc: doc/PROTOCOL-HTTP2.md,
// "Timeout").
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice {

/// "100m": at most eight digits and a unit of H, M, S, m, u, n. Nothing if it is not of that form. What is
/// above 292 years is the largest value there is.
std::optional<std::chrono::nanoseconds> parse_grpc_timeout(std::string_view text);

/// The text of a field.
class GrpcTimeoutText {
 public:
  std::string_view view() const { return {text_.data(), size_}; }

 private:
  friend GrpcTimeoutText format_grpc_timeout(std::chrono::nanoseconds timeout);
  std::array<char, 9> text_{};
  uint8_t size_ = 0;
};

/// In the finest unit that eight digits allow, rounded down: a deadline is never made longer on its way. What
/// is not above 0 is "0n": it is over.
GrpcTimeoutText format_grpc_timeout(std::chrono::nanoseconds timeout);

}  // namespace sluice
