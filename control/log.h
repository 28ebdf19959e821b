// The log of a program: spdlog's default logger, with lines of one kind limited (log_limiter.h) and written
// where the operator wants them. Lines are what log_line.h says. docs/logs.md is the operator's page.
#pragma once

#include <string>

#include "control/log_settings.h"
#include "lb/result.h"

namespace sluice {

/// Sends what spdlog logs to `settings.to` from now on. Errors: journald's socket is not there. `program` is
/// what the lines are said to be of.
Result<void> open_log(const std::string& program, const LogSettings& settings);

void set_log_level(LogLevel level);
LogLevel log_level();

/// Says of which kinds lines were left out lately. To be called now and then.
void log_suppressed_lines();

/// What open_log()'s log has counted; all 0 without one. From any thread.
LogNumbers log_numbers();

}  // namespace sluice
