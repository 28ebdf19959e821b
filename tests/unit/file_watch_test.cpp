#include "control/proxy/file_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/test_folder.h"

namespace sluice::control {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

class FileWatchTest : public testing::Test {
 protected:
  void write(const fs::path& path, const std::string& text = "x") { std::ofstream(path) << text; }

  /// Whether a change is told of before `limit` is over.
  bool is_told(std::chrono::milliseconds limit = std::chrono::seconds(5)) {
    const int before = calls_;
    const auto until = std::chrono::steady_clock::now() + limit;
    while (calls_ == before && std::chrono::steady_clock::now() < until) io_.run_one_until(until);
    return calls_ != before;
  }
  /// For what must not be told of: long enough for what would be.
  static constexpr std::chrono::milliseconds kQuiet{150};

  test::TestFolder folder_;
  const fs::path& root_ = folder_.path();
  int calls_ = 0;
  boost::asio::io_context io_;
  FileWatch watch_{io_, [this] { ++calls_; }};
};

TEST_F(FileWatchTest, TheWayToAFileIsItsNameAndEachLink) {
  fs::create_directories(root_ / "v1" / "sub");
  write(root_ / "v1" / "sub" / "file");
  fs::create_directory_symlink("v1", root_ / "current");
  fs::create_symlink(root_ / "current" / "sub" / "file", root_ / "link");
  EXPECT_THAT(names_on_the_way(root_ / "link"),
              UnorderedElementsAre(Pair(root_, UnorderedElementsAre("link", "current")),
                                   Pair(root_ / "v1" / "sub", ElementsAre("file"))));
  EXPECT_THAT(
      names_on_the_way(root_ / "v1" / ".." / "current" / "." / "none" / "more"),
      UnorderedElementsAre(Pair(root_, ElementsAre("current")), Pair(root_ / "v1", ElementsAre("none"))));
}

TEST_F(FileWatchTest, LinksInACircleEnd) {
  fs::create_symlink("b", root_ / "a");
  fs::create_symlink("a", root_ / "b");
  EXPECT_THAT(names_on_the_way(root_ / "a"), ElementsAre(Pair(root_, UnorderedElementsAre("a", "b"))));
}

TEST_F(FileWatchTest, ToldOfAFileThatIsWrittenReplacedRemovedAndBack) {
  const fs::path file = root_ / "file";
  write(file);
  ASSERT_TRUE(watch_.watch({file}));
  write(file, "y");
  EXPECT_TRUE(is_told());
  write(root_ / "new");
  fs::rename(root_ / "new", file);
  EXPECT_TRUE(is_told());
  fs::remove(file);
  EXPECT_TRUE(is_told());
  write(file);
  EXPECT_TRUE(is_told());
}

TEST_F(FileWatchTest, NotToldOfItsNeighbours) {
  write(root_ / "file");
  ASSERT_TRUE(watch_.watch({root_ / "file"}));
  write(root_ / "other");
  fs::rename(root_ / "other", root_ / "another");
  EXPECT_FALSE(is_told(kQuiet));
  EXPECT_EQ(calls_, 0);
}

TEST_F(FileWatchTest, FollowsALinkThatIsSwappedAgainAndAgain) {
  for (const char* name : {"v1", "v2", "v3"}) {
    fs::create_directory(root_ / name);
    write(root_ / name / "file");
  }
  fs::create_directory_symlink("v1", root_ / "current");
  ASSERT_TRUE(watch_.watch({root_ / "current" / "file"}));
  for (const char* name : {"v2", "v3"}) {
    fs::create_directory_symlink(name, root_ / "next");
    fs::rename(root_ / "next", root_ / "current");
    EXPECT_TRUE(is_told());
  }
  write(root_ / "v1" / "file", "nobody looks there");
  EXPECT_FALSE(is_told(kQuiet));
  write(root_ / "v3" / "file", "here");
  EXPECT_TRUE(is_told());
}

TEST_F(FileWatchTest, WaitsForAFolderAndFollowsItsReplacement) {
  const fs::path file = root_ / "a" / "b" / "file";
  ASSERT_TRUE(watch_.watch({file}));
  fs::create_directories(root_ / "a" / "b");
  EXPECT_TRUE(is_told());
  write(file);
  EXPECT_TRUE(is_told());
  fs::remove_all(root_ / "a" / "b");
  EXPECT_TRUE(is_told());
  while (is_told(kQuiet)) {
  }
  fs::create_directory(root_ / "a" / "b");
  EXPECT_TRUE(is_told());
  write(file, "again");
  EXPECT_TRUE(is_told());
}

TEST_F(FileWatchTest, WatchesOtherFilesWhenToldSo) {
  write(root_ / "one");
  write(root_ / "two");
  ASSERT_TRUE(watch_.watch({root_ / "one"}));
  ASSERT_TRUE(watch_.watch({root_ / "two"}));
  write(root_ / "one", "y");
  EXPECT_FALSE(is_told(kQuiet));
  write(root_ / "two", "y");
  EXPECT_TRUE(is_told());
  ASSERT_TRUE(watch_.watch({}));
  write(root_ / "two", "z");
  EXPECT_FALSE(is_told(kQuiet));
}

}  // namespace
}  // namespace sluice::control
