#include "control/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string_view>

#include "control/datagram.h"
#include "control/log_limiter.h"
#include "control/log_line.h"

namespace sluice {

namespace {

constexpr const char* kJournalSocket = "/run/systemd/journal/socket";

spdlog::level::level_enum spdlog_level(LogLevel level) {
  constexpr std::array<spdlog::level::level_enum, 4> kLevels{spdlog::level::debug, spdlog::level::info,
                                                             spdlog::level::warn, spdlog::level::err};
  return kLevels[static_cast<size_t>(level)];
}

LogLevel level_of(spdlog::level::level_enum level) {
  if (level >= spdlog::level::err) return LogLevel::kError;
  if (level == spdlog::level::warn) return LogLevel::kWarning;
  return level == spdlog::level::info ? LogLevel::kInfo : LogLevel::kDebug;
}

/// As syslog(3) numbers them.
int priority_of(LogLevel level) {
  constexpr std::array<int, 4> kPriorities{7, 6, 4, 3};
  return kPriorities[static_cast<size_t>(level)];
}

/// Whether stderr is a pipe to journald, as systemd makes it: its device and inode are in $JOURNAL_STREAM.
bool stderr_is_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat status {};
  if (stream == nullptr || fstat(STDERR_FILENO, &status) != 0) return false;
  return fmt::format("{}:{}", status.st_dev, status.st_ino) == stream;
}

/// Writes one line where it belongs.
class LogWriter {
 public:
  virtual ~LogWriter() = default;
  virtual void write(LogLevel level, std::chrono::system_clock::time_point time, std::string_view line) = 0;
};

class StderrWriter : public LogWriter {
 public:
  void write(LogLevel level, std::chrono::system_clock::time_point time, std::string_view line) override {
    std::string text;
    if (journal_) {
      // sd-daemon(3): journald takes the priority from here, and knows the time.
      text = fmt::format("<{}>{}\n", priority_of(level), one_line(line));
    } else {
      const auto milliseconds =
          std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
      text = fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}{:%z} level={} {}\n",
                         fmt::localtime(static_cast<time_t>(milliseconds / 1000)), milliseconds % 1000,
                         fmt::localtime(static_cast<time_t>(milliseconds / 1000)), log_level_name(level),
                         one_line(line));
    }
    (void)!::write(STDERR_FILENO, text.data(), text.size());
  }

 private:
  bool journal_ = stderr_is_journal();
};

/// To journald by its own protocol.
class JournalWriter : public LogWriter {
 public:
  JournalWriter(std::string program, int socket) : program_(std::move(program)), socket_(socket) {}
  ~JournalWriter() override { ::close(socket_); }
  JournalWriter(const JournalWriter&) = delete;
  JournalWriter& operator=(const JournalWriter&) = delete;

  void write(LogLevel level, std::chrono::system_clock::time_point, std::string_view line) override {
    const std::string text = journal_message(program_, priority_of(level), line);
    // Never waits: a journald that hangs costs lines, not health checks.
    (void)send_datagram(socket_, kJournalSocket, text);
  }

 private:
  std::string program_;
  int socket_;
};

class LimitedSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit LimitedSink(std::unique_ptr<LogWriter> writer) : writer_(std::move(writer)) {}

  void say_suppressed() {
    const std::lock_guard lock(mutex_);
    write_suppressed();
  }

  LogNumbers numbers() {
    const std::lock_guard lock(mutex_);
    return numbers_;
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const std::string_view line(message.payload.data(), message.payload.size());
    write_suppressed();
    if (!limiter_.admit(log_kind(line), std::chrono::steady_clock::now())) {
      ++numbers_.suppressed;
      return;
    }
    write(level_of(message.level), message.time, line);
  }
  void flush_() override {}

 private:
  void write(LogLevel level, std::chrono::system_clock::time_point time, std::string_view line) {
    ++numbers_.lines[static_cast<size_t>(level)];
    writer_->write(level, time, line);
  }

  void write_suppressed() {
    for (const auto& [kind, lines] : limiter_.take_suppressed(std::chrono::steady_clock::now())) {
      write(LogLevel::kWarning, std::chrono::system_clock::now(),
            fmt::format("event=log_suppressed kind={} lines={}", kind, lines));
    }
  }

  std::unique_ptr<LogWriter> writer_;
  LogLimiter limiter_;
  LogNumbers numbers_;
};

std::shared_ptr<LimitedSink>& current_sink() {
  static std::shared_ptr<LimitedSink> sink;
  return sink;
}

Result<std::unique_ptr<LogWriter>> make_writer(const std::string& program, LogTarget target) {
  if (target == LogTarget::kStderr) return std::make_unique<StderrWriter>();
  const int socket = datagram_socket();
  struct stat status {};
  if (socket < 0 || stat(kJournalSocket, &status) != 0 || !S_ISSOCK(status.st_mode)) {
    if (socket >= 0) ::close(socket);
    return fail(fmt::format("log.to: journald does not listen on {}; use log.to: stderr", kJournalSocket));
  }
  return std::make_unique<JournalWriter>(program, socket);
}

}  // namespace

Result<void> open_log(const std::string& program, const LogSettings& settings) {
  auto writer = make_writer(program, settings.to);
  if (!writer) return tl::unexpected(writer.error());
  current_sink() = std::make_shared<LimitedSink>(*std::move(writer));
  spdlog::set_default_logger(std::make_shared<spdlog::logger>(program, current_sink()));
  set_log_level(settings.level);
  return {};
}

void set_log_level(LogLevel level) {
  spdlog::set_level(spdlog_level(level));
}

LogLevel log_level() {
  return level_of(spdlog::get_level());
}

void log_suppressed_lines() {
  if (current_sink() != nullptr) current_sink()->say_suppressed();
}

LogNumbers log_numbers() {
  return current_sink() != nullptr ? current_sink()->numbers() : LogNumbers{};
}

}  // namespace sluice
