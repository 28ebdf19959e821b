// A file, or whatever else takes the lines of an access log, while it is open.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lb/counter.h"
#include "lb/result.h"

namespace sluice {

class AccessLogTarget {
 public:
  /// `to`: "stdout", "stderr", or a path; a file that is not there is made, readable by its owner and group
  /// (less what the umask takes). Errors name it and say what to do.
  static Result<std::shared_ptr<AccessLogTarget>> open(const std::string& to);
  /// Whether open() would go well, as far as append_error() knows; makes no file.
  static Result<void> check(const std::string& to);
  AccessLogTarget(const AccessLogTarget&) = delete;
  AccessLogTarget& operator=(const AccessLogTarget&) = delete;
  ~AccessLogTarget();

  /// Keeps a line for flush(); its bytes stay where they are until then.
  void add(std::span<const uint8_t> line);
  bool full() const { return lines_.size() >= kMaxLines; }
  /// Writes the lines, as far as the system takes them; the others are dropped. Counts lines under `written`
  /// and `unwritten`, and logs when it begins to fail and when that is over. Waits for the reader of a pipe
  /// for up to a second, once.
  void flush(Counter& written, Counter& unwritten);
  const std::string& name() const { return name_; }

 private:
  static constexpr size_t kMaxLines = 512;

  AccessLogTarget(std::string name, int fd, bool regular)
      : name_(std::move(name)), fd_(fd), regular_(regular) {}
  size_t write_lines(int& error);
  ssize_t write_some(std::span<iovec> lines, int& error);
  void tell(int error, size_t lost);

  std::string name_;
  int fd_;
  bool regular_;
  std::vector<iovec> lines_;
  bool in_line_ = false;  // the last one was not written whole
  bool failing_ = false;
  uint64_t lost_ = 0;  // lines, since it began to fail
};

}  // namespace sluice
