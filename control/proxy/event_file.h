// A file that lines are appended to for as long as the proxy runs, whatever happens to its disk.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "lb/result.h"

namespace sluice::control {

class EventFile {
 public:
  /// Opens `path` for appending, and makes it (mode 0640) if it is not there. Never waits: a FIFO without a
  /// reader is an error. The error names the path, the reason and what is accepted.
  static Result<std::unique_ptr<EventFile>> open(const std::string& path);
  /// Whether open() would go well, as far as append_error() knows; makes no file.
  static Result<void> check(const std::string& path);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  /// Appends `line` and a line end, by one call to the kernel. What cannot be written (a full disk) is
  /// counted and left out; the log is told of the first such line, and again when writing works. A line of
  /// which only a part got in is ended before the next one begins.
  void write(std::string_view line);

  const std::string& path() const { return path_; }

 private:
  EventFile(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}

  const std::string path_;
  const int descriptor_;
  uint64_t lost_ = 0;  ///< lines, since the last one that got in
  bool torn_ = false;  ///< the file ends in a part of a line
};

}  // namespace sluice::control
