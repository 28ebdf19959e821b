// Where the API listens: whose the socket is, and what becomes of it when processes start, stop and die.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <vector>

#include "tests/unit/echo_api.h"

namespace sluice {
namespace {

using test::Api;
using test::RawClient;
using test::RunningServer;
using testing::HasSubstr;
using testing::StartsWith;

TEST_F(Api, IsServedOverTcpAsWell) {
  boost::asio::io_context io;
  auto server = ApiServer::open_tcp(io, IpAddress::v4(127, 0, 0, 1), 0);
  ASSERT_TRUE(server) << server.error().message;
  ASSERT_NE((*server)->port(), 0);
  const auto second = ApiServer::open_tcp(io, IpAddress::v4(127, 0, 0, 1), (*server)->port());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().message,
            fmt::format("cannot listen on 127.0.0.1:{}: Address already in use", (*server)->port()));
  const auto foreign = ApiServer::open_tcp(io, *IpAddress::parse("2001:db8::1"), 80);
  ASSERT_FALSE(foreign);
  EXPECT_THAT(foreign.error().message, StartsWith("cannot listen on [2001:db8::1]:80: "));
}

TEST_F(Api, SocketIsNotForOthersWhateverTheUmask) {
  const mode_t before = umask(0);
  {
    RunningServer server(path_);
    struct stat status {};
    ASSERT_EQ(stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0660u);
  }
  umask(0077);
  {
    RunningServer server(path_);
    struct stat status {};
    ASSERT_EQ(stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0660u);
  }
  umask(before);
}

TEST_F(Api, ASecondServerOnTheSamePathIsRefusedAndTheFirstGoesOn) {
  RunningServer first(path_);
  RunningServer second(path_);
  EXPECT_EQ(second.error(), path_ + ": another process listens there; stop it or set another node.run_dir");
  const auto answer = get("/v1/echo");
  EXPECT_TRUE(answer) << answer.error().message;
}

TEST_F(Api, TheSocketOfADeadProcessIsReplaced) {
  const pid_t child = fork();
  if (child == 0) {
    boost::asio::io_context io;
    const auto server = ApiServer::open(io, path_);
    _exit(server ? 0 : 1);  // without destructors: as if killed
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  ASSERT_TRUE(std::filesystem::exists(path_));
  const auto dead = get("/v1/echo");
  ASSERT_FALSE(dead);
  EXPECT_EQ(dead.error().message, path_ + ": nobody listens; sluiced has died or is still starting");
  RunningServer server(path_);
  ASSERT_EQ(server.error(), "");
  EXPECT_TRUE(get("/v1/echo"));
}

TEST_F(Api, OnlyOneOfManyServersThatStartTogetherGetsADeadSocket) {
  { std::filesystem::create_directories(folder_.path("run")); }
  const pid_t child = fork();
  if (child == 0) {
    boost::asio::io_context io;
    const auto server = ApiServer::open(io, path_);
    _exit(server ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  std::vector<std::future<bool>> starts;
  std::promise<void> all_started;
  const auto go = all_started.get_future().share();
  std::vector<std::unique_ptr<RunningServer>> servers(8);
  for (auto& server : servers) {
    starts.push_back(std::async(std::launch::async, [&, go] {
      go.wait();
      server = std::make_unique<RunningServer>(path_);
      return server->error().empty();
    }));
  }
  all_started.set_value();
  int successes = 0;
  for (auto& start : starts) successes += start.get() ? 1 : 0;
  EXPECT_EQ(successes, 1);
  EXPECT_TRUE(get("/v1/echo"));
}

TEST_F(Api, AFileThatIsNoSocketIsLeftAlone) {
  std::filesystem::create_directories(folder_.path("run"));
  std::ofstream(path_) << "precious";
  RunningServer server(path_);
  EXPECT_THAT(server.error(), HasSubstr("exists and is not a socket"));
  std::string content;
  std::getline(std::ifstream(path_), content);
  EXPECT_EQ(content, "precious");
}

TEST_F(Api, PathsThatCannotBeAreRefusedInWords) {
  boost::asio::io_context io;
  const auto long_path = ApiServer::open(io, "/" + std::string(200, 'x'));
  ASSERT_FALSE(long_path);
  EXPECT_THAT(long_path.error().message, HasSubstr("a socket path has 1 to 107 bytes"));
  const auto no_directory = ApiServer::open(io, "/proc/nothing/control.sock");
  ASSERT_FALSE(no_directory);
  EXPECT_THAT(no_directory.error().message, HasSubstr("cannot be used for the control socket"));
}

TEST_F(Api, StopClosesClientsAndRemovesTheSocket) {
  RunningServer server(path_);
  RawClient idle(path_);
  ASSERT_TRUE(get("/v1/echo"));  // idle is served as well by now
  server.stop();
  EXPECT_FALSE(std::filesystem::exists(path_));
  EXPECT_THAT(idle.read_to_end(), testing::EndsWith("<closed>"));
  const auto gone = get("/v1/echo");
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().message, path_ + ": no such socket; is sluiced running? (--socket names another)");
}

TEST_F(Api, StopLeavesASocketOfSomebodyElse) {
  RunningServer first(path_);
  std::filesystem::rename(path_, path_ + ".old");
  RunningServer second(path_);
  ASSERT_EQ(second.error(), "");
  first.stop();
  EXPECT_TRUE(get("/v1/echo"));
}

TEST_F(Api, ClientSaysWhatToDoAboutMissingPermission) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  RunningServer server(path_);
  std::filesystem::permissions(folder_.path(), std::filesystem::perms(0755));
  const pid_t child = fork();
  if (child == 0) {
    if (setgid(65534) != 0 || setuid(65534) != 0) _exit(2);
    const auto answer = get("/v1/echo");
    _exit(!answer && answer.error().message ==
                         path_ + ": permission denied; run as root or as a member of the socket's group"
              ? 0
              : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace sluice
