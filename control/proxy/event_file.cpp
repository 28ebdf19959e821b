#include "control/proxy/event_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "control/log_line.h"
#include "control/proxy/append_check.h"

namespace sluice::control {
namespace {

tl::unexpected<Error> cannot_open(const std::string& path, int error) {
  const std::string reason = error == ENXIO ? "nobody reads this FIFO" : std::strerror(error);
  return fail(fmt::format(
      "event log {}: cannot be opened: {}; accepted: a file in a directory that is there, and that "
      "sluice-proxy may write to",
      path, reason));
}

}  // namespace

Result<std::unique_ptr<EventFile>> EventFile::open(const std::string& path) {
  constexpr int kFlags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  const int descriptor = ::open(path.c_str(), kFlags, 0640);
  if (descriptor >= 0) return std::unique_ptr<EventFile>(new EventFile(path, descriptor));
  return cannot_open(path, errno);
}

Result<void> EventFile::check(const std::string& path) {
  if (const int error = append_error(path); error != 0) return cannot_open(path, error);
  return {};
}

EventFile::~EventFile() {
  ::close(descriptor_);
}

void EventFile::write(std::string_view line) {
  std::string text;
  text.reserve(line.size() + 2);
  if (torn_) text += '\n';
  text += line;
  text += '\n';
  ssize_t written = 0;
  do {
    written = ::write(descriptor_, text.data(), text.size());
  } while (written < 0 && errno == EINTR);
  if (written == static_cast<ssize_t>(text.size())) {
    torn_ = false;
    if (lost_ > 0) spdlog::info("event=event_log_writes_again file={} lost={}", log_quoted(path_), lost_);
    lost_ = 0;
    return;
  }
  // A part of a line without its end: what follows must not be taken for the rest of it.
  const bool only_ended = torn_ && written == 1;
  if (written > 0) torn_ = !only_ended;
  if (++lost_ > 1) return;
  spdlog::error("event=event_log_not_written file={} error={}", log_quoted(path_),
                log_quoted(written < 0 ? std::strerror(errno) : "only a part of the line got in"));
}

}  // namespace sluice::control
