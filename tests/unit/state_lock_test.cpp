#include "control/state_lock.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "tests/unit/test_folder.h"

namespace sluice {
namespace {

class StateLocks : public testing::Test {
 protected:
  test::TestFolder folder_;
  std::string directory_ = folder_.path("state");
};

TEST_F(StateLocks, AreHeldByOneAndNameIt) {
  const auto first = StateLock::take(directory_);
  ASSERT_TRUE(first);
  EXPECT_TRUE(first->held());
  const auto second = StateLock::take(directory_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().message,
            fmt::format("{}: in use by another sluiced, pid {}; stop it or set another node.state_dir",
                        directory_, getpid()));
}

TEST_F(StateLocks, GoWithTheirHolderHoweverItEnds) {
  { const auto lock = StateLock::take(directory_); }
  const pid_t child = fork();
  if (child == 0) {
    const auto lock = StateLock::take(directory_);
    _exit(lock && lock->held() ? 0 : 1);  // without destructors: as if killed
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  const auto next = StateLock::take(directory_);
  ASSERT_TRUE(next) << next.error().message;
  EXPECT_TRUE(next->held());
}

TEST_F(StateLocks, AreNotHeldWhereNothingCanBeWrittenAndSayWhy) {
  const auto lock = StateLock::take("/proc/nothing/state");
  ASSERT_TRUE(lock);
  EXPECT_FALSE(lock->held());
  EXPECT_THAT(lock->why_not(), testing::HasSubstr("/proc/nothing/state: cannot be made: "));
}

}  // namespace
}  // namespace sluice
