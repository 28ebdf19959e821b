// The names of RetryOn's bits, as configuration files and reports have them.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

#include "lb/l7/route_policy.h"

namespace sluice {

/// Statuses are no names: they stand for themselves.
inline constexpr std::array<std::pair<std::string_view, uint32_t>, 6> kRetryReasons{
    {{"connect-failure", kRetryConnectFailure},
     {"refused-stream", kRetryRefusedStream},
     {"reset", kRetryReset},
     {"5xx", kRetryServerError},
     {"gateway-error", kRetryGatewayError},
     {"try-timeout", kRetryTryTimeout}}};

}  // namespace sluice
