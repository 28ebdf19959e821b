#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <string>
#include <thread>

#include "control/api_client.h"
#include "control/api_places.h"
#include "control/api_server.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::StartsWith;

/// A directory of the test's own, removed at its end.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = std::filesystem::temp_directory_path() / "sluice-api-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) abort();
    path_ = name;
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  std::filesystem::path path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// A server on a thread of its own, as sluiced's control thread.
class RunningServer {
 public:
  explicit RunningServer(const std::string& path, const ApiLimits& limits = {})
      : server_(ApiServer::open(io_, path, limits)) {
    if (!server_) return;
    (*server_)->route("GET", "/v1/echo", [](const ApiRequest& request) {
      return ApiResponse{200, request.method + " " + request.path + " " + request.query + " " + request.body};
    });
    (*server_)->route("POST", "/v1/echo", [](const ApiRequest& request) {
      return ApiResponse{201, request.body};
    });
    (*server_)->route("GET", "/v1/throws",
                      [](const ApiRequest&) -> ApiResponse { throw std::runtime_error("it broke"); });
    (*server_)->route("GET", "/v1/large", [](const ApiRequest&) {
      return ApiResponse{200, std::string(8u << 20, 'x')};
    });
    thread_ = std::thread([this] { io_.run(); });
  }
  ~RunningServer() { stop(); }

  std::string error() const { return server_ ? "" : server_.error().message; }
  /// Runs `task` on the server's thread.
  void on_thread(const std::function<void()>& task) {
    std::promise<void> done;
    boost::asio::post(io_, [&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }
  void stop() {
    if (!thread_.joinable()) return;
    on_thread([this] { (*server_)->stop(); });
    work_.reset();
    thread_.join();
  }

 private:
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{io_.get_executor()};
  Result<std::unique_ptr<ApiServer>> server_;
  std::thread thread_;
};

/// A client that sends what it likes.
class RawClient {
 public:
  explicit RawClient(const std::string& path) : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::copy(path.begin(), path.end(), address.sun_path);
    connected_ = connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  RawClient(RawClient&& other) noexcept : fd_(std::exchange(other.fd_, -1)), connected_(other.connected_) {}
  ~RawClient() {
    if (fd_ >= 0) close(fd_);
  }
  bool connected() const { return connected_; }

  /// Sends until done or the server has closed; true if all went.
  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  /// All until the server closes; what came until then if it takes longer than 20 s.
  std::string read_to_end() {
    std::string text;
    char part[4096];
    pollfd waiting{fd_, POLLIN, 0};
    while (poll(&waiting, 1, 20'000) == 1) {
      const ssize_t length = recv(fd_, part, sizeof part, 0);
      if (length <= 0) return text + (length == 0 || errno == ECONNRESET ? "<closed>" : "<error>");
      text.append(part, static_cast<size_t>(length));
    }
    return text + "<still open>";
  }

 private:
  int fd_;
  bool connected_ = false;
};

class Api : public testing::Test {
 protected:
  Result<ApiAnswer> get(const std::string& target, std::chrono::milliseconds timeout = 20s) {
    return api_call(path_, "GET", target, "", timeout);
  }
  std::string raw(const std::string& request) {
    RawClient client(path_);
    client.send(request);
    return client.read_to_end();
  }

  TemporaryDirectory directory_;
  std::string path_ = directory_.path() / "run" / "control.sock";
};

TEST_F(Api, AnswersAKnownPathWithItsHandler) {
  RunningServer server(path_);
  ASSERT_EQ(server.error(), "");
  const auto answer = get("/v1/echo?a=b");
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 200u);
  EXPECT_EQ(answer->body, "GET /v1/echo a=b ");
  const auto posted = api_call(path_, "POST", "/v1/echo", R"({"x": 1})", 20s);
  ASSERT_TRUE(posted) << posted.error().message;
  EXPECT_EQ(posted->status, 201u);
  EXPECT_EQ(posted->body, R"({"x": 1})");
}

TEST_F(Api, UnknownPathsMethodsAndBrokenHandlersAreJsonErrors) {
  RunningServer server(path_);
  const auto unknown = get("/v2/nothing");
  ASSERT_TRUE(unknown);
  EXPECT_EQ(unknown->status, 404u);
  EXPECT_EQ(api_error_text(*unknown), "no such path '/v2/nothing'; known: /v1/echo, /v1/large, /v1/throws");
  const auto method = api_call(path_, "DELETE", "/v1/echo", "", 20s);
  ASSERT_TRUE(method);
  EXPECT_EQ(method->status, 405u);
  EXPECT_EQ(api_error_text(*method), "'DELETE' is not for /v1/echo; accepted: GET, POST");
  const auto broken = get("/v1/throws");
  ASSERT_TRUE(broken);
  EXPECT_EQ(broken->status, 500u);
  EXPECT_EQ(api_error_text(*broken), "internal error: it broke");
  EXPECT_THAT(raw("PATCH /v1/echo HTTP/1.0\r\n\r\n"), HasSubstr("\r\nAllow: GET, POST\r\n"));
}

TEST_F(Api, KeepsAConnectionForSeveralRequests) {
  RunningServer server(path_);
  const std::string answers =
      raw("GET /v1/echo?1 HTTP/1.1\r\nHost: x\r\n\r\n"
          "GET /v1/echo?2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answers, HasSubstr("/v1/echo 1"));
  EXPECT_THAT(answers, HasSubstr("/v1/echo 2"));
  EXPECT_THAT(answers, testing::EndsWith("<closed>"));
}

TEST_F(Api, LargeAnswersArriveWhole) {
  RunningServer server(path_);
  const auto answer = get("/v1/large");
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->body.size(), 8u << 20);
}

TEST_F(Api, MalformedRequestsAreAnswered400AndClosed) {
  RunningServer server(path_);
  for (const std::string request :
       {"nonsense\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\x16\x03\x01\x02\x01\x01\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "GET / HTTP/1.1\r\nbad header\r\n\r\n",
        "POST /v1/echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    const std::string answer = raw(request);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 400 Bad Request\r\n")) << request;
    EXPECT_THAT(answer, HasSubstr(R"({"error":"malformed HTTP: )")) << request;
    EXPECT_THAT(answer, testing::EndsWith("<closed>")) << request;
  }
  EXPECT_TRUE(get("/v1/echo"));
}

TEST_F(Api, BodiesOverTheLimitAreRefusedWithoutReadingThem) {
  ApiLimits limits;
  limits.body_bytes = 1000;
  RunningServer server(path_, limits);
  const auto announced = raw("POST /v1/echo HTTP/1.1\r\nContent-Length: 1000000000000\r\n\r\n");
  EXPECT_THAT(announced, StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(announced, HasSubstr("the body is longer than 1000 bytes"));
  const auto huge = api_call(path_, "POST", "/v1/echo", std::string(8u << 20, 'x'), 20s);
  ASSERT_TRUE(huge) << huge.error().message;
  EXPECT_EQ(huge->status, 413u);
  const auto largest = api_call(path_, "POST", "/v1/echo", std::string(1000, 'x'), 20s);
  ASSERT_TRUE(largest) << largest.error().message;
  EXPECT_EQ(largest->status, 201u);
  std::string chunked = "POST /v1/echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 20; ++i) chunked += "64\r\n" + std::string(100, 'x') + "\r\n";
  EXPECT_THAT(raw(chunked), StartsWith("HTTP/1.1 413 "));
}

TEST_F(Api, HeadersOverTheLimitAreRefused) {
  RunningServer server(path_);
  EXPECT_THAT(raw("GET /v1/echo HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n"),
              StartsWith("HTTP/1.1 431 "));
  EXPECT_THAT(raw("GET /" + std::string(1'000'000, 'x')), StartsWith("HTTP/1.1 4"));
}

TEST_F(Api, SlowClientsHoldNobodyUpAndAreClosedInTime) {
  ApiLimits limits;
  limits.request_time = 1500ms;
  RunningServer server(path_, limits);
  RawClient silent(path_);
  RawClient dripping(path_);
  ASSERT_TRUE(dripping.send("GET /v1/echo HTT"));
  RawClient deaf(path_);  // asks for more than the socket holds, and never reads
  ASSERT_TRUE(deaf.send("GET /v1/large HTTP/1.1\r\nHost: x\r\n\r\n"));
  for (int i = 0; i < 20; ++i) {
    const auto answer = get("/v1/echo");
    ASSERT_TRUE(answer) << answer.error().message;
  }
  EXPECT_EQ(silent.read_to_end(), "<closed>");
  // The deadline is of the whole request: a byte now and then does not move it.
  const auto began = std::chrono::steady_clock::now();
  RawClient trickling(path_);
  ASSERT_TRUE(trickling.send("GET /v1/echo HTTP/1.1\r\n"));
  while (trickling.send("X: y\r\n") && std::chrono::steady_clock::now() - began < 20s) {
    std::this_thread::sleep_for(20ms);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - began, 15s);
  EXPECT_THAT(dripping.read_to_end(), testing::EndsWith("<closed>"));
}

TEST_F(Api, WhenAllPlacesAreTakenTheClientThatHasWaitedLongestMakesRoom) {
  ApiLimits limits;
  limits.clients = 3;
  limits.request_time = 60s;
  RunningServer server(path_, limits);
  std::vector<RawClient> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back(path_);
    ASSERT_TRUE(clients.back().send("GET /v1/echo HTTP/1.1\r\nHost: x\r\n\r\n"));
    // An answer shows that the server has taken this client in.
    ASSERT_TRUE(get("/v1/echo?" + std::to_string(i))) << i;
  }
  // The one before has gone, the last two are still there and are served.
  EXPECT_THAT(clients[0].read_to_end(), testing::EndsWith("<closed>"));
  ASSERT_TRUE(clients[2].send("GET /v1/echo?again HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
  EXPECT_THAT(clients[2].read_to_end(), HasSubstr("/v1/echo again"));
}

TEST_F(Api, AThousandSlowClientsDoNotKeepAnOperatorOut) {
  ApiLimits limits;
  limits.request_time = 60s;  // not the deadline is what helps
  RunningServer server(path_, limits);
  std::vector<RawClient> clients;
  clients.reserve(1000);
  for (int i = 0; i < 1000; ++i) {
    clients.emplace_back(path_);
    ASSERT_TRUE(clients.back().connected()) << i;
    // Half of them say nothing at all.
    if (i % 2 == 0) clients.back().send("PUT /v1/echo HTTP/1.1\r\nContent-Length: 5\r\n\r\nab");
  }
  for (int i = 0; i < 20; ++i) {
    const auto answer = get("/v1/echo", 5s);
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->status, 200u);
  }
}

TEST_F(Api, ClientsThatDoNotTakeTheirAnswerMakeRoomToo) {
  ApiLimits limits;
  limits.clients = 3;
  limits.answer_time = 60s;
  RunningServer server(path_, limits);
  std::vector<RawClient> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back(path_);
    ASSERT_TRUE(clients.back().send("GET /v1/large HTTP/1.1\r\nHost: x\r\n\r\n"));
  }
  // At first it may be told to come again, and does so by itself.
  const auto answer = get("/v1/echo");
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 200u);
}

TEST(ApiPlaces, WhoWaitsLongestOfTheUserWithTheMostPlacesGoesFirst) {
  const std::chrono::steady_clock::time_point start{};
  const auto waiting = [&](int64_t owner, std::chrono::seconds since) {
    return ApiPlace{owner, false, start + since};
  };
  const auto taking = [&](int64_t owner, std::chrono::seconds since) {
    return ApiPlace{owner, true, start + since};
  };
  const auto now = start + 100s;
  using Places = std::vector<ApiPlace>;
  EXPECT_EQ(place_to_free({}, now), std::nullopt);
  EXPECT_EQ(place_to_free(Places{waiting(0, 5s), waiting(0, 3s), waiting(0, 4s)}, now), 1u);
  EXPECT_EQ(place_to_free(Places{waiting(0, 1s), waiting(1000, 9s), waiting(1000, 8s)}, now), 2u);
  EXPECT_EQ(place_to_free(Places{taking(0, 1s), taking(0, 2s), waiting(0, 99s)}, now), 2u);
  EXPECT_EQ(place_to_free(Places{taking(0, 2s), taking(0, 1s)}, now), 1u);
  EXPECT_EQ(place_to_free(Places{taking(0, 100s), taking(0, 100s)}, now), std::nullopt);
}

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
  { std::filesystem::create_directories(directory_.path() / "run"); }
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
  std::filesystem::create_directories(directory_.path() / "run");
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

TEST_F(Api, ClientGivesUpOnAServerThatHangs) {
  RunningServer server(path_);
  std::promise<void> release;
  std::thread hang([&] { server.on_thread([&] { release.get_future().wait(); }); });
  // on_thread may still be on its way: whatever is answered before does not count.
  Result<ApiAnswer> answer = get("/v1/echo", 200ms);
  for (int i = 0; i < 100 && answer; ++i) answer = get("/v1/echo", 200ms);
  release.set_value();
  hang.join();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().message,
            path_ + ": no answer within 0.2 s; sluiced hangs or is overloaded, see its log");
}

TEST_F(Api, ClientSaysWhatToDoAboutMissingPermission) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  RunningServer server(path_);
  std::filesystem::permissions(directory_.path(), std::filesystem::perms(0755));
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

TEST_F(Api, AThousandClientsComeAndGo) {
  RunningServer server(path_);
  std::vector<std::thread> threads;
  std::atomic<int> answered{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 125; ++i) {
        const auto answer = get("/v1/echo");
        if (answer && answer->status == 200) ++answered;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(answered, 1000);
}

}  // namespace
}  // namespace sluice
