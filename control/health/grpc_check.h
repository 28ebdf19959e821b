// gRPC: grpc.health.v1.Health/Check answers SERVING.
#pragma once

#include "control/health/http2_request.h"

namespace sluice::control {

class GrpcCheck final : public Http2RequestCheck {
 public:
  GrpcCheck(const CheckContext& context, const HealthTarget& target) : Http2RequestCheck(context, target) {}

 private:
  Http2Headers request_headers() const override;
  std::string request_body() const override;
  void on_answer(const Http2Answer& answer) override;
};

}  // namespace sluice::control
