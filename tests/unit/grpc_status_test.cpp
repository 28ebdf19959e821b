#include "lb/l7/grpc_status.h"

#include <gtest/gtest.h>

#include <string>

namespace sluice {
namespace {

TEST(GrpcStatus, ReadsItsField) {
  EXPECT_EQ(parse_grpc_status("0"), GrpcStatus::kOk);
  EXPECT_EQ(parse_grpc_status("14"), GrpcStatus::kUnavailable);
  EXPECT_EQ(parse_grpc_status("16"), GrpcStatus::kUnauthenticated);
  EXPECT_EQ(parse_grpc_status("17"), GrpcStatus::kUnknown);
  EXPECT_EQ(parse_grpc_status("99999999999999"), GrpcStatus::kUnknown);
  for (const char* text : {"", "x", "1x", " 1", "1 ", "-1", "+1"})
    EXPECT_FALSE(parse_grpc_status(text)) << text;
}

TEST(GrpcStatus, NamesGoBothWays) {
  for (uint8_t code = 0; code < kGrpcStatusCount; ++code) {
    const auto status = static_cast<GrpcStatus>(code);
    EXPECT_EQ(grpc_status_of_name(grpc_status_name(status)), status);
  }
  EXPECT_EQ(grpc_status_name(GrpcStatus::kDeadlineExceeded), "DEADLINE_EXCEEDED");
  EXPECT_FALSE(grpc_status_of_name("unavailable"));
}

TEST(GrpcStatus, AsHttp) {
  const uint32_t expected[] = {200, 499, 500, 400, 504, 404, 409, 403, 429,
                               400, 409, 400, 501, 500, 503, 500, 401};
  for (uint8_t code = 0; code < kGrpcStatusCount; ++code) {
    EXPECT_EQ(http_status_of(static_cast<GrpcStatus>(code)), expected[code]) << int{code};
  }
}

TEST(GrpcStatus, OfHttp) {
  const struct {
    uint32_t http;
    GrpcStatus grpc;
  } cases[] = {{400, GrpcStatus::kInternal},         {401, GrpcStatus::kUnauthenticated},
               {403, GrpcStatus::kPermissionDenied}, {404, GrpcStatus::kUnimplemented},
               {429, GrpcStatus::kUnavailable},      {502, GrpcStatus::kUnavailable},
               {503, GrpcStatus::kUnavailable},      {504, GrpcStatus::kUnavailable},
               {200, GrpcStatus::kUnknown},          {418, GrpcStatus::kUnknown},
               {500, GrpcStatus::kUnknown}};
  for (const auto& c : cases) EXPECT_EQ(grpc_status_of_http(c.http), c.grpc) << c.http;
}

}  // namespace
}  // namespace sluice
