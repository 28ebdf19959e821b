#include "control/proxy/access_log_writer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "control/proxy/access_log_target.h"
#include "tests/unit/file_text.h"
#include "tests/unit/test_folder.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

class AccessLogWriterTest : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_.path(name); }
  std::string content(const std::string& name) const { return test::text_of(path(name)); }
  /// Settings with a listener for each of `files`.
  static l7::ProxySettings logging_to(const std::vector<std::string>& files) {
    l7::ProxySettings settings;
    for (const std::string& file : files) {
      auto log = std::make_shared<l7::AccessLog>();
      log->to = file;
      settings.listeners.emplace_back().access_log = log;
    }
    return settings;
  }
  /// Opens and uses; the settings have their numbers then.
  void use(l7::ProxySettings& settings) {
    auto targets = writer_.open(settings);
    ASSERT_TRUE(targets) << targets.error().message;
    writer_.use(*std::move(targets), rings_);
  }
  /// As a worker does it.
  void log(const l7::ProxySettings& settings, size_t listener, const std::string& line, size_t worker = 0) {
    const uint32_t number = settings.listeners[listener].access_log_target;
    std::string message(reinterpret_cast<const char*>(&number), sizeof(number));
    message += line + "\n";
    rings_->of_workers[worker]->push({reinterpret_cast<const uint8_t*>(message.data()), message.size()});
    rings_->bell.ring();
  }
  /// Until all lines that were given were written or not.
  void wait_for(uint64_t lines) const {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (rings_->written.read() + rings_->unwritten.read() < lines) {
      ASSERT_LT(std::chrono::steady_clock::now(), until) << "lines are not written";
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  test::TestFolder folder_;
  std::shared_ptr<l7::AccessLogRings> rings_ = std::make_shared<l7::AccessLogRings>(2);
  AccessLogWriter writer_;
};

TEST_F(AccessLogWriterTest, LinesOfAllWorkersComeToTheirFiles) {
  auto settings = logging_to({path("a"), path("b"), path("a")});
  use(settings);
  EXPECT_EQ(settings.listeners[0].access_log_target, settings.listeners[2].access_log_target);
  log(settings, 0, "one");
  log(settings, 1, "two", 1);
  log(settings, 2, "three");
  writer_.stop();
  EXPECT_EQ(content("a"), "one\nthree\n");
  EXPECT_EQ(content("b"), "two\n");
  EXPECT_EQ(rings_->written.read(), 3u);
}

TEST_F(AccessLogWriterTest, WhatIsLeftAtTheEndIsWritten) {
  auto settings = logging_to({path("a")});
  use(settings);
  for (int i = 0; i < 5000; ++i) log(settings, 0, std::to_string(i));
  writer_.stop();
  EXPECT_THAT(content("a"), HasSubstr("\n4998\n4999\n"));
  EXPECT_EQ(rings_->written.read(), 5000u);
}

TEST_F(AccessLogWriterTest, FilesAreMadeForOwnerAndGroup) {
  const mode_t before = umask(0);
  auto settings = logging_to({path("a")});
  use(settings);
  umask(before);
  struct stat status {};
  ASSERT_EQ(stat(path("a").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777u, 0640u);
}

TEST_F(AccessLogWriterTest, LinesGoToTheNewFileAfterReopening) {
  auto settings = logging_to({path("a")});
  use(settings);
  log(settings, 0, "old");
  wait_for(1);
  std::filesystem::rename(path("a"), path("a.1"));
  log(settings, 0, "still old");
  wait_for(2);
  ASSERT_TRUE(writer_.reopen());
  log(settings, 0, "new");
  writer_.stop();
  EXPECT_EQ(content("a.1"), "old\nstill old\n");
  EXPECT_EQ(content("a"), "new\n");
}

TEST_F(AccessLogWriterTest, AReopeningThatFailsChangesNothing) {
  std::filesystem::create_directory(path("d"));
  auto settings = logging_to({path("d/a")});
  use(settings);
  std::filesystem::rename(path("d"), path("e"));
  const auto reopened = writer_.reopen();
  ASSERT_FALSE(reopened);
  EXPECT_THAT(reopened.error().message,
              HasSubstr("d/a: cannot be opened: No such file or directory; make its"));
  log(settings, 0, "line");
  writer_.stop();
  EXPECT_EQ(content("e/a"), "line\n");
}

TEST_F(AccessLogWriterTest, RequestsUnderWayStillReachAFileThatIsConfiguredNoMore) {
  auto before = logging_to({path("a")});
  use(before);
  auto after = logging_to({path("b")});
  use(after);
  EXPECT_NE(before.listeners[0].access_log_target, after.listeners[0].access_log_target);
  log(before, 0, "late");
  log(after, 0, "now");
  writer_.stop();
  EXPECT_EQ(content("a"), "late\n");
  EXPECT_EQ(content("b"), "now\n");
}

TEST_F(AccessLogWriterTest, FilesThatCannotBeOpenedAreNamedWithWhatToDo) {
  auto settings = logging_to({path("no/a")});
  EXPECT_THAT(writer_.open(settings).error().message,
              HasSubstr("/no/a: cannot be opened: No such file or directory; make its directory"));
  settings = logging_to({folder_.path()});
  EXPECT_THAT(writer_.open(settings).error().message, HasSubstr("Is a directory"));
  ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
  settings = logging_to({path("pipe")});
  EXPECT_THAT(writer_.open(settings).error().message, HasSubstr("start the reader of the pipe first"));
}

TEST_F(AccessLogWriterTest, LinesThatADeviceDoesNotTakeAreCountedAndOthersStillWritten) {
  auto settings = logging_to({"/dev/full", path("a")});
  use(settings);
  for (int i = 0; i < 1000; ++i) {
    log(settings, 0, "lost");
    log(settings, 1, "kept");
  }
  writer_.stop();
  EXPECT_EQ(rings_->unwritten.read(), 1000u);
  EXPECT_EQ(rings_->written.read(), 1000u);
  EXPECT_EQ(content("a").size(), 5000u);
}

// The file may grow to 100 bytes: the second line is cut off in its middle.
TEST_F(AccessLogWriterTest, ALineThatWasCutOffStaysAloneInItsLine) {
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{100, before.rlim_max};
  auto settings = logging_to({path("a")});
  use(settings);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  log(settings, 0, std::string(59, '1'));
  log(settings, 0, std::string(59, '2'));
  log(settings, 0, std::string(59, '3'));
  wait_for(3);
  setrlimit(RLIMIT_FSIZE, &before);
  log(settings, 0, "after");
  writer_.stop();
  EXPECT_EQ(content("a"), std::string(59, '1') + "\n" + std::string(40, '2') + "\nafter\n");
  EXPECT_EQ(rings_->written.read(), 2u);
  EXPECT_EQ(rings_->unwritten.read(), 2u);
}

TEST_F(AccessLogWriterTest, AReaderOfAPipeThatSleepsHoldsUpNobodyForLong) {
  ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
  const int reader = open(path("pipe").c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  auto settings = logging_to({path("pipe"), path("a")});
  use(settings);
  // More than a pipe holds.
  for (int i = 0; i < 300; ++i) log(settings, 0, std::string(999, 'x'));
  log(settings, 1, "kept");
  wait_for(301);
  EXPECT_GT(rings_->unwritten.read(), 100u);
  EXPECT_EQ(content("a"), "kept\n");
  // It wakes up.
  std::string text(1 << 20, ' ');
  while (read(reader, text.data(), text.size()) > 0) {
  }
  log(settings, 0, "again");
  writer_.stop();
  const ssize_t bytes = read(reader, text.data(), text.size());
  ASSERT_GT(bytes, 0);
  EXPECT_THAT(text.substr(0, static_cast<size_t>(bytes)), HasSubstr("again\n"));
  close(reader);
}

}  // namespace
}  // namespace sluice
