#include "control/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "control/log_limiter.h"
#include "control/log_line.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

TEST(LogLine, QuotedTextStaysOneLineAndComesBack) {
  const std::string text = "it's \"down\": a\\b\nsecond";
  EXPECT_EQ(log_quoted(text), R"("it's \"down\": a\\b\nsecond")");
  EXPECT_THAT(log_fields("event=x error=" + log_quoted(text) + " port=80"),
              ElementsAre(Pair("event", "x"), Pair("error", text), Pair("port", "80")));
  EXPECT_EQ(log_quoted("\x1b[31m\r"), "\"?[31m?\"");
}

TEST(LogLine, FieldsOfAnyLineAreReadWithoutHarm) {
  EXPECT_THAT(log_fields(""), ElementsAre());
  EXPECT_THAT(log_fields("words alone"), ElementsAre());
  EXPECT_THAT(log_fields("a="), ElementsAre(Pair("a", "")));
  EXPECT_THAT(log_fields("a=\"open"), ElementsAre(Pair("a", "open")));
  EXPECT_THAT(log_fields("a=\"x\\"), ElementsAre(Pair("a", "x\\")));
  EXPECT_THAT(log_fields("=b some c=d"), ElementsAre(Pair("c", "d")));
}

TEST(LogLine, TheKindIsTheEvent) {
  EXPECT_EQ(log_kind("event=backend_unhealthy pool=web"), "backend_unhealthy");
  EXPECT_EQ(log_kind("event=stopped"), "stopped");
  EXPECT_EQ(log_kind("something else event=no"), "");
}

TEST(LogLine, JournaldGetsEachKeyAsAFieldAndNoneThatALineSmugglesIn) {
  EXPECT_EQ(journal_message("sluiced", 4, "event=backend_unhealthy pool=web error=\"a\\nPRIORITY=0\" x-y=1"),
            "PRIORITY=4\nSYSLOG_IDENTIFIER=sluiced\n"
            "MESSAGE=event=backend_unhealthy pool=web error=\"a\\nPRIORITY=0\" x-y=1\n"
            "SLUICE_EVENT=backend_unhealthy\nSLUICE_POOL=web\nSLUICE_ERROR=a PRIORITY=0\nSLUICE_X_Y=1\n");
}

TEST(LogLimiter, WritesSoManyOfAKindInAWindowAndThenSaysHowManyItLeftOut) {
  LogLimiter limiter(3, 10s);
  const LogLimiter::Time start{};
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(limiter.admit("a", start + 1s * i));
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(limiter.admit("a", start + 9s));
  EXPECT_TRUE(limiter.admit("b", start + 9s)) << "a kind of its own";
  EXPECT_TRUE(limiter.take_suppressed(start + 9s).empty()) << "the window is not over";
  const auto suppressed = limiter.take_suppressed(start + 10s);
  ASSERT_EQ(suppressed.size(), 1u);
  EXPECT_EQ(suppressed[0].kind, "a");
  EXPECT_EQ(suppressed[0].lines, 5u);
  EXPECT_TRUE(limiter.take_suppressed(start + 10s).empty()) << "said once";
  EXPECT_TRUE(limiter.admit("a", start + 10s));
}

TEST(LogLimiter, ALineNowAndThenIsNeverLeftOut) {
  LogLimiter limiter(3, 10s);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(limiter.admit("a", LogLimiter::Time{} + 5s * i));
}

/// What is written to stderr in its lifetime.
class Stderr {
 public:
  Stderr() : file_(std::tmpfile()), before_(dup(STDERR_FILENO)) { dup2(fileno(file_), STDERR_FILENO); }
  ~Stderr() {
    dup2(before_, STDERR_FILENO);
    close(before_);
    std::fclose(file_);
  }
  std::string text() {
    std::string text(1 << 16, '\0');
    text.resize(static_cast<size_t>(pread(fileno(file_), text.data(), text.size(), 0)));
    return text;
  }

 private:
  std::FILE* file_;
  int before_;
};

TEST(Log, LinesBelowTheLevelAreNotWrittenAndTheLevelCanChange) {
  ASSERT_TRUE(open_log("test", {LogTarget::kStderr, LogLevel::kWarning}));
  Stderr err;
  spdlog::info("event=one");
  spdlog::warn("event=two");
  set_log_level(LogLevel::kDebug);
  EXPECT_EQ(log_level(), LogLevel::kDebug);
  spdlog::debug("event=three");
  EXPECT_THAT(err.text(),
              testing::MatchesRegex("20[^\n]* level=warning event=two\n20[^\n]* level=debug event=three\n"));
  EXPECT_EQ(log_numbers().lines, (std::array<uint64_t, 4>{1, 0, 1, 0}));
}

TEST(Log, AFloodOfOneKindIsCutAndCounted) {
  ASSERT_TRUE(open_log("test", {}));
  Stderr err;
  for (int i = 0; i < 1000; ++i) spdlog::error("event=flood number={}", i);
  spdlog::error("event=other");
  const std::string text = err.text();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 51);
  EXPECT_THAT(text, HasSubstr("event=other"));
  EXPECT_EQ(log_numbers().suppressed, 950u);
}

TEST(Log, ControlCharactersDoNotBreakLines) {
  ASSERT_TRUE(open_log("test", {}));
  Stderr err;
  spdlog::error("event=x text=a\nlevel=error event=forged");
  const std::string text = err.text();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
}

}  // namespace
}  // namespace sluice
