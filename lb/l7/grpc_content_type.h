// Whether a message is one of gRPC.
#pragma once

#include <string_view>

#include "lb/l7/text_match.h"

namespace sluice {

/// "application/grpc", perhaps with "+proto" and the like, or parameters (grpc: doc/PROTOCOL-HTTP2.md).
/// gRPC-Web, which has its status in the body, is not.
inline bool is_grpc_content_type(std::string_view type) {
  constexpr std::string_view kType = "application/grpc";
  if (!equal_ignoring_case(type.substr(0, kType.size()), kType)) return false;
  return type.size() == kType.size() || type[kType.size()] == '+' || type[kType.size()] == ';';
}

}  // namespace sluice
