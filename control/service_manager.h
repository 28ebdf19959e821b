// Tells systemd how the service is (sd_notify(3)): that it is ready, that it stops, and that it is alive. A
// process that hangs keeps its announcement device, and with it the traffic: the watchdog ends it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

class ServiceManager {
 public:
  /// From the environment, which is cleared of it: programs that are run here are not the service.
  ServiceManager();
  ~ServiceManager();
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  void ready() { send("READY=1"); }
  /// The service goes on as this process, which is of its control group. Only the service's main process is
  /// believed that.
  void main_process(pid_t pid) { send("MAINPID=" + std::to_string(pid)); }
  void stopping() { send("STOPPING=1"); }
  void alive() {
    if (watchdog_) send("WATCHDOG=1");
  }
  /// Where systemd listens, for a process that goes on as this service; "": it does not.
  const std::string& path() const { return path_; }
  /// How long systemd waits between two alive(); nothing if it does not.
  std::optional<std::chrono::microseconds> watchdog() const { return watchdog_; }

 private:
  void send(std::string_view text) const;

  std::string path_;
  int socket_ = -1;
  std::optional<std::chrono::microseconds> watchdog_;
};

}  // namespace sluice
