#include "control/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/unit/file_text.h"
#include "tests/unit/test_folder.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using Step = AtomicFileStep;

const std::string kOld(200'000, 'o');
const std::string kNew(200'000, 'n');

class AtomicFileTest : public testing::Test {
 protected:
  static Result<void> replace(const std::string& path, const std::string& text, AtomicFileFault fault = {}) {
    AtomicFile file(path, std::move(fault));
    if (auto staged = file.stage(text); !staged) return staged;
    return file.commit();
  }
  std::string content() const { return test::text_of(path_); }
  size_t files() const {
    const auto list = std::filesystem::directory_iterator(path_.parent_path());
    return static_cast<size_t>(std::distance(begin(list), end(list)));
  }

  test::TestFolder folder_;
  std::filesystem::path path_ = folder_.path("state/services.yaml");
};

TEST_F(AtomicFileTest, WritesAFileForItsOwnerAndGroupAndMakesItsDirectory) {
  const mode_t mask = umask(022);
  const auto done = replace(path_, kNew);
  umask(mask);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(content(), kNew);
  struct stat status {};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640u);
  EXPECT_EQ(files(), 1u);
}

TEST_F(AtomicFileTest, StagingAloneChangesNothingAndLeavesNothing) {
  ASSERT_TRUE(replace(path_, kOld));
  {
    AtomicFile file(path_);
    ASSERT_TRUE(file.stage(kNew));
    EXPECT_EQ(content(), kOld);
  }
  EXPECT_EQ(content(), kOld);
  EXPECT_EQ(files(), 1u);
}

TEST_F(AtomicFileTest, AFailureAtAnyStepBeforeTheRenameLeavesTheOldContentAndNothingElse) {
  ASSERT_TRUE(replace(path_, kOld));
  for (const Step failing : {Step::kCreate, Step::kWrite, Step::kSync, Step::kRename}) {
    const auto done = replace(path_, kNew, [&](Step step) { return step == failing ? ENOSPC : 0; });
    ASSERT_FALSE(done);
    EXPECT_THAT(done.error().message, HasSubstr("services.yaml.new: cannot be "));
    EXPECT_THAT(done.error().message, HasSubstr("No space left on device"));
    EXPECT_EQ(content(), kOld);
    EXPECT_EQ(files(), 1u);
  }
}

TEST_F(AtomicFileTest, ALinkInThePlaceOfTheTemporaryFileIsNotFollowed) {
  ASSERT_TRUE(replace(path_, kOld));
  const auto victim = folder_.path() / "victim";
  std::ofstream(victim) << "mine";
  std::filesystem::create_symlink(victim, path_.string() + ".new");
  ASSERT_TRUE(replace(path_, kNew));
  std::ifstream file(victim);
  std::string text;
  file >> text;
  EXPECT_EQ(text, "mine");
  EXPECT_EQ(content(), kNew);
}

TEST_F(AtomicFileTest, ADirectoryThatCannotBeMadeIsNamed) {
  folder_.write("state", "a file");
  const auto done = replace(path_, kNew);
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, HasSubstr(folder_.path("state")));
}

/// A process is killed before its step number `fatal`, counted over all steps. Returns whether it came so
/// far.
bool killed_at(const std::filesystem::path& path, int fatal) {
  const pid_t child = fork();
  if (child == 0) {
    int step = 0;
    AtomicFile file(path, [&](Step) {
      if (step++ == fatal) raise(SIGKILL);
      return 0;
    });
    if (!file.stage(kNew)) _exit(1);
    if (!file.commit()) _exit(1);
    _exit(0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
  return WIFSIGNALED(status);
}

TEST_F(AtomicFileTest, AProcessKilledAtAnyStepLeavesTheOldOrTheNewContentWhole) {
  int steps = 0;
  bool seen_new = false;
  for (;; ++steps) {
    ASSERT_TRUE(replace(path_, kOld));
    const bool killed = killed_at(path_, steps);
    const std::string found = content();
    EXPECT_TRUE(found == kOld || found == kNew)
        << "killed at step " << steps << ": " << found.size() << " bytes";
    // Once the new content has been seen, no later step goes back to the old.
    EXPECT_TRUE(!seen_new || found == kNew) << steps;
    seen_new = found == kNew;
    if (!killed) break;
    // What is left lying about does not hinder the next one.
    ASSERT_TRUE(replace(path_, kNew));
    EXPECT_EQ(content(), kNew);
    EXPECT_EQ(files(), 1u);
  }
  EXPECT_TRUE(seen_new);
  EXPECT_EQ(steps, 8);  // create, four parts of 64 KiB, sync, rename, sync of the directory
}

}  // namespace
}  // namespace sluice
