#include "control/proxy/access_log_target.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <limits.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "control/log_line.h"
#include "control/proxy/append_check.h"

namespace sluice {
namespace {

constexpr mode_t kFileMode = 0640;
constexpr int kPatienceMs = 1000;

tl::unexpected<Error> cannot_open(const std::string& to, int error) {
  const char* advice = error == ENOENT   ? "make its directory"
                       : error == EACCES ? "let the user of sluice-proxy write there"
                       : error == ENXIO  ? "start the reader of the pipe first"
                                         : "name a file that can be written";
  return fail(fmt::format("access log {}: cannot be opened: {}; {}", to, strerror(error), advice));
}

Result<int> open_descriptor(const std::string& to) {
  if (to == "stdout" || to == "stderr") {
    const int fd = fcntl(to == "stdout" ? STDOUT_FILENO : STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) return fail(fmt::format("access log {}: it is closed; name a file", to));
    return fd;
  }
  // Not to wait for the reader of a named pipe.
  const int fd =
      ::open(to.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, kFileMode);
  if (fd >= 0) return fd;
  return cannot_open(to, errno);
}

}  // namespace

Result<std::shared_ptr<AccessLogTarget>> AccessLogTarget::open(const std::string& to) {
  const auto fd = open_descriptor(to);
  if (!fd) return tl::unexpected(fd.error());
  struct stat status {};
  const bool regular = fstat(*fd, &status) == 0 && S_ISREG(status.st_mode);
  return std::shared_ptr<AccessLogTarget>(new AccessLogTarget(to, *fd, regular));
}

Result<void> AccessLogTarget::check(const std::string& to) {
  if (to == "stdout" || to == "stderr") return {};
  if (const int error = append_error(to); error != 0) return cannot_open(to, error);
  return {};
}

AccessLogTarget::~AccessLogTarget() {
  close(fd_);
}

void AccessLogTarget::add(std::span<const uint8_t> line) {
  // What was cut off stays alone in its line.
  static constexpr char kNewline = '\n';
  if (in_line_ && lines_.empty()) lines_.push_back({const_cast<char*>(&kNewline), 1});
  lines_.push_back({const_cast<uint8_t*>(line.data()), line.size()});
}

void AccessLogTarget::flush(Counter& written, Counter& unwritten) {
  if (lines_.empty()) return;
  const size_t ended = in_line_ ? 1 : 0;  // the line end that add() has put first
  const size_t count = lines_.size() - ended;
  int error = 0;
  const size_t whole = write_lines(error);
  const size_t good = whole - std::min(whole, ended);
  written.add(good);
  unwritten.add(count - good);
  tell(error, count - good);
  lines_.clear();
}

// The number of lines that went whole.
size_t AccessLogTarget::write_lines(int& error) {
  size_t whole = 0;
  while (whole < lines_.size()) {
    const ssize_t bytes = write_some(std::span(lines_).subspan(whole), error);
    if (bytes < 0) return whole;
    auto left = static_cast<size_t>(bytes);
    while (whole < lines_.size() && left >= lines_[whole].iov_len) left -= lines_[whole++].iov_len;
    in_line_ = left != 0;
    if (left == 0) continue;
    lines_[whole].iov_base = static_cast<char*>(lines_[whole].iov_base) + left;
    lines_[whole].iov_len -= left;
  }
  in_line_ = false;
  return whole;
}

// Bytes written; below 0 with an errno.
ssize_t AccessLogTarget::write_some(std::span<iovec> lines, int& error) {
  while (true) {
    std::span<iovec> now = lines;
    iovec piece;
    if (!regular_) {
      // A pipe that poll() calls writable takes this much without waiting, also if somebody else has made it
      // one that waits (standard output is shared).
      pollfd ready{fd_, POLLOUT, 0};
      if (poll(&ready, 1, failing_ ? 0 : kPatienceMs) == 0) {
        error = EAGAIN;
        return -1;
      }
      piece = {lines[0].iov_base, std::min<size_t>(lines[0].iov_len, PIPE_BUF)};
      now = {&piece, 1};
    }
    const ssize_t bytes = writev(fd_, now.data(), static_cast<int>(now.size()));
    if (bytes > 0) return bytes;
    if (bytes < 0 && errno == EINTR) continue;
    error = bytes == 0 ? EIO : errno;
    return -1;
  }
}

void AccessLogTarget::tell(int error, size_t lost) {
  lost_ += lost;
  if (error != 0 && !failing_) {
    spdlog::warn("event=access_log_failing file={} error={} lines=dropped", log_quoted(name_),
                 log_quoted(error == EAGAIN ? "its reader does not keep up" : strerror(error)));
  } else if (error == 0 && failing_) {
    spdlog::info("event=access_log_recovered file={} lines_dropped={}", log_quoted(name_), lost_);
    lost_ = 0;
  }
  failing_ = error != 0;
}

}  // namespace sluice
