#include "control/health/check.h"

#include <fmt/format.h>

#include "control/health/external_check.h"
#include "control/health/grpc_check.h"
#include "control/health/http2_check.h"
#include "control/health/http_check.h"
#include "control/health/https_check.h"
#include "control/health/icmp_check.h"
#include "control/health/tcp_check.h"
#include "control/health/udp_check.h"

namespace sluice::control {

CheckResult Check::timed_out(std::chrono::milliseconds limit) const {
  return CheckResult::bad(fmt::format("no {} within {} ms", awaited(), limit.count()),
                          CheckResult::Failure::kTimeout);
}

std::shared_ptr<Check> make_check(const CheckContext& context, const HealthTarget& target) {
  switch (target.check.kind) {
    case HealthCheckKind::kTcp:
      return std::make_shared<TcpCheck>(context, target);
    case HealthCheckKind::kHttp:
      return std::make_shared<HttpCheck>(context, target);
    case HealthCheckKind::kHttps:
      return std::make_shared<HttpsCheck>(context, target);
    case HealthCheckKind::kHttp2:
      return std::make_shared<Http2Check>(context, target);
    case HealthCheckKind::kGrpc:
      return std::make_shared<GrpcCheck>(context, target);
    case HealthCheckKind::kUdp:
      return std::make_shared<UdpCheck>(context, target);
    case HealthCheckKind::kIcmp:
      return std::make_shared<IcmpCheck>(context.io, target);
    case HealthCheckKind::kExternal:
      return std::make_shared<ExternalCheck>(context.io, target);
    case HealthCheckKind::kNone:
      break;
  }
  return nullptr;
}

}  // namespace sluice::control
