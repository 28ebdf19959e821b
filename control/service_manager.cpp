#include "control/service_manager.h"

#include <unistd.h>

#include <charconv>
#include <cstdlib>

#include "control/datagram.h"

namespace sluice {

namespace {

/// The value, which is then gone from the environment.
std::string take_variable(const char* name) {
  const char* value = std::getenv(name);
  std::string taken = value == nullptr ? "" : value;
  unsetenv(name);
  return taken;
}

}  // namespace

ServiceManager::ServiceManager() : path_(take_variable("NOTIFY_SOCKET")) {
  const std::string interval = take_variable("WATCHDOG_USEC");
  const std::string pid = take_variable("WATCHDOG_PID");
  if (path_.empty()) return;
  socket_ = datagram_socket();
  int64_t microseconds = 0;
  std::from_chars(interval.data(), interval.data() + interval.size(), microseconds);
  if (microseconds > 0 && (pid.empty() || pid == std::to_string(getpid()))) {
    watchdog_ = std::chrono::microseconds(microseconds);
  }
}

ServiceManager::~ServiceManager() {
  if (socket_ >= 0) ::close(socket_);
}

void ServiceManager::send(std::string_view text) const {
  if (socket_ >= 0) (void)send_datagram(socket_, path_, text);
}

}  // namespace sluice
