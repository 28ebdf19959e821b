// Where log lines go and which are written.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError };

inline constexpr std::array<std::string_view, 4> kLogLevelNames{"debug", "info", "warning", "error"};

constexpr std::string_view log_level_name(LogLevel level) {
  return kLogLevelNames[static_cast<size_t>(level)];
}

constexpr std::optional<LogLevel> parse_log_level(std::string_view name) {
  for (size_t i = 0; i < kLogLevelNames.size(); ++i) {
    if (kLogLevelNames[i] == name) return static_cast<LogLevel>(i);
  }
  return std::nullopt;
}

enum class LogTarget : uint8_t {
  kStderr,   ///< one line each
  kJournal,  ///< to journald by its own protocol, each key as a field
};

constexpr std::string_view log_target_name(LogTarget target) {
  return target == LogTarget::kStderr ? "stderr" : "journal";
}

/// What a log has counted.
struct LogNumbers {
  std::array<uint64_t, 4> lines{};  ///< by LogLevel
  uint64_t suppressed = 0;
};

struct LogSettings {
  LogTarget to = LogTarget::kStderr;
  LogLevel level = LogLevel::kInfo;
  friend bool operator==(const LogSettings&, const LogSettings&) = default;
};

}  // namespace sluice
