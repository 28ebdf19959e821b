// A program that looks at the backend: exit status 0 is good.
#pragma once

#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <string>

#include "control/health/check.h"

namespace sluice::control {

/// The program runs in a process group of its own, which is killed when the check ends. Its environment is
/// this process's and SLUICE_POOL, SLUICE_BACKEND, SLUICE_ADDRESS, SLUICE_PORT. Of its output and errors, the
/// first line that is not empty says what is wrong.
class ExternalCheck final : public Check {
 public:
  ExternalCheck(boost::asio::io_context& io, const HealthTarget& target);
  ~ExternalCheck() override;

 private:
  void begin() override;
  void close() override;
  std::string awaited() const override { return "end of the program"; }
  /// errno.
  int spawn(int output);
  void read();
  void wait();
  void on_exit();
  /// Empties what the program has left in the pipe.
  void drain();
  CheckResult judge(int code, int status) const;

  boost::asio::posix::stream_descriptor output_;
  boost::asio::posix::stream_descriptor process_;  ///< a pidfd
  const HealthTarget target_;
  pid_t pid_ = -1;  ///< of the program while it is not reaped
  std::array<char, 1024> chunk_;
  std::string text_;
};

}  // namespace sluice::control
