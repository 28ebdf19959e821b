// The command line of sluice-backend.
#pragma once

#include <span>
#include <string>

namespace sluice {

/// Runs `attach`, `status` or `detach` with the words behind the program's name. Results go to stdout; errors
/// and warnings, one line each, to stderr. Returns the exit code: 0 done, 1 failed, 2 wrong command line,
/// 3 status found nothing attached.
int run_backend_cli(std::span<const std::string> words);

}  // namespace sluice
