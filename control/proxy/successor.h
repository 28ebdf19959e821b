// Starts the next sluice-proxy from the running one (SIGUSR2), so that it is of the same service: same user,
// same limits, same control group.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "lb/result.h"

namespace sluice {

class Successor {
 public:
  /// `program` is a path that is looked up anew when it is started: a package may have put another file
  /// there. `arguments` without the name.
  Successor(std::string program, std::vector<std::string> arguments)
      : program_(std::move(program)), arguments_(std::move(arguments)) {}

  /// Starts it with NOTIFY_SOCKET as given, if not "". Errors: one runs already, or it cannot be started.
  Result<pid_t> start(const std::string& notify_socket);
  /// How it has ended, in words, once; nothing while it runs or if there is none. For SIGCHLD.
  std::optional<std::string> end();

 private:
  std::string program_;
  std::vector<std::string> arguments_;
  pid_t pid_ = 0;
};

/// Where the file of this process was when it started; "" if that cannot be told.
std::string program_path();

}  // namespace sluice
