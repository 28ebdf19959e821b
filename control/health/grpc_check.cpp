#include "control/health/grpc_check.h"

#include <fmt/format.h>

#include "control/health/grpc_health.h"

namespace sluice::control {

Http2Headers GrpcCheck::request_headers() const {
  return {{":method", "POST"},
          {":scheme", "http"},
          {":authority", target_.check.host.empty() ? authority() : target_.check.host},
          {":path", "/grpc.health.v1.Health/Check"},
          {"te", "trailers"},
          {"content-type", "application/grpc"},
          {"user-agent", "sluice-health-check"},
          {"grpc-timeout", fmt::format("{}m", target_.check.timeout.count())}};
}

std::string GrpcCheck::request_body() const {
  return grpc_health_request(target_.check.grpc_service);
}

void GrpcCheck::on_answer(const Http2Answer& answer) {
  finish(judge_grpc_health(answer, target_.check.grpc_service));
}

}  // namespace sluice::control
