// Socket errors as results of a check.
#pragma once

#include <boost/system/error_code.hpp>
#include <string_view>

#include "control/health/check_result.h"

namespace sluice::control {

/// Bad, or kNotRun if the error is this node's own want of descriptors, memory or ports. `when` completes the
/// line for errors of an established connection: "before the answer", ...; "" for those of connecting.
CheckResult socket_failure(const boost::system::error_code& error, std::string_view when = "");

}  // namespace sluice::control
