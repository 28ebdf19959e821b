// The messages of grpc.health.v1.Health/Check, and what an answer means. Pure. Two fields of one message are
// not worth a protobuf compiler and library.
#pragma once

#include <string>
#include <string_view>

#include "control/health/check_result.h"
#include "control/health/http2_request.h"

namespace sluice::control {

/// HealthCheckRequest for `service` ("": the server as a whole), with gRPC's five bytes before it.
std::string grpc_health_request(std::string_view service);

/// Good if the answer is SERVING.
CheckResult judge_grpc_health(const Http2Answer& answer, std::string_view service);

}  // namespace sluice::control
