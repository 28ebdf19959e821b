#include "control/metrics/metrics_server.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace sluice {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::StartsWith;

class Client {
 public:
  explicit Client(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int small = 4096;
    setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) abort();
  }
  Client(Client&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~Client() {
    if (fd_ >= 0) close(fd_);
  }
  void send(std::string_view text) { (void)!::send(fd_, text.data(), text.size(), MSG_NOSIGNAL); }
  std::string read_to_end() {
    std::string text;
    char part[65536];
    pollfd waiting{fd_, POLLIN, 0};
    while (poll(&waiting, 1, 20'000) == 1) {
      const ssize_t length = recv(fd_, part, sizeof part, 0);
      if (length <= 0) return text;
      text.append(part, static_cast<size_t>(length));
    }
    return text + "<still open>";
  }

 private:
  int fd_;
};

constexpr const char* kGet = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

std::string get(uint16_t port, const char* request = kGet) {
  Client client(port);
  client.send(request);
  return client.read_to_end();
}

std::unique_ptr<MetricsServer> listening() {
  auto server = MetricsServer::open(IpAddress::v4(127, 0, 0, 1), 0);
  if (!server) abort();
  return *std::move(server);
}

TEST(MetricsServer, GivesTheTextToWhoeverAsksForItAndNothingElse) {
  const auto server = listening();
  server->start([](const auto&) { return Result<std::string>("a_total 1\n"); });
  const std::string answer = get(server->port());
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  EXPECT_THAT(answer, testing::EndsWith("\r\n\r\na_total 1\n"));
  EXPECT_THAT(get(server->port(), "GET / HTTP/1.1\r\nConnection: close\r\n\r\n"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(get(server->port(), "POST /metrics HTTP/1.1\r\nConnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 405"));
  EXPECT_THAT(get(server->port(), "POST /metrics HTTP/1.1\r\nContent-Length: 9\r\n\r\nsomething"),
              StartsWith("HTTP/1.1 413"));
}

TEST(MetricsServer, ManyWhoAskAtOnceShareOneText) {
  const auto server = listening();
  std::atomic<int> rendered{0};
  server->start([&](const auto&) { return Result<std::string>(fmt::format("a_total {}\n", ++rendered)); });
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 50; ++i) ASSERT_THAT(get(server->port()), HasSubstr("a_total"));
  const auto windows = (std::chrono::steady_clock::now() - began) / MetricsServer::kFresh;
  EXPECT_LE(rendered, windows + 1);
}

TEST(MetricsServer, SlowScrapersMakeRoomForTheNext) {
  const auto server = listening();
  server->start([](const auto&) { return Result<std::string>(std::string(8u << 20, '#')); });
  std::vector<Client> slow;
  for (size_t i = 0; i < 4 * MetricsServer::kClients; ++i) {
    slow.emplace_back(server->port());
    slow.back().send(i % 2 == 0 ? kGet : "GET /met");
  }
  // Turned away at the first moment, perhaps, as all are taking answers that began just now.
  std::string answer;
  for (int i = 0; i < 100 && !answer.starts_with("HTTP/1.1 200"); ++i) {
    answer = get(server->port());
    if (!answer.starts_with("HTTP/1.1 200")) std::this_thread::sleep_for(20ms);
  }
  EXPECT_GT(answer.size(), 8u << 20);
}

TEST(MetricsServer, AnErrorIsToldAndTheNextAskedForAnew) {
  const auto server = listening();
  std::atomic<bool> good{false};
  server->start([&](const auto&) { return good ? Result<std::string>("a_total 1\n") : fail("not now"); });
  EXPECT_THAT(get(server->port()), testing::AllOf(StartsWith("HTTP/1.1 503"), HasSubstr("not now")));
  good = true;
  EXPECT_THAT(get(server->port()), HasSubstr("a_total 1"));
}

TEST(MetricsServer, EndsThoughTheThreadThatItAsksDoesNotAnswer) {
  boost::asio::io_context nobody_runs_it;
  std::promise<void> asked;
  auto server = listening();
  server->start([&](const std::atomic<bool>& stopping) -> Result<std::string> {
    asked.set_value();
    const auto answer = ask_thread(
        nobody_runs_it, [] { return std::string("never"); }, stopping, 60s);
    return answer ? Result<std::string>(*answer) : fail("stopped");
  });
  Client client(server->port());
  client.send(kGet);
  asked.get_future().wait();
  const auto began = std::chrono::steady_clock::now();
  server.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - began, 20s);
}

TEST(AskThread, RunsTheTaskOnTheOtherThreadAndWaits) {
  boost::asio::io_context io;
  auto work = boost::asio::make_work_guard(io);
  std::thread other([&] { io.run(); });
  const std::atomic<bool> stopping{false};
  EXPECT_EQ(ask_thread(
                io, [] { return std::this_thread::get_id(); }, stopping, 20s),
            other.get_id());
  work.reset();
  other.join();
  EXPECT_EQ(ask_thread(
                io, [] { return 1; }, stopping, 50ms),
            std::nullopt);
}

TEST(MetricsServer, AnAddressThatCannotBeIsToldWithItsField) {
  const auto taken = listening();
  const auto second = MetricsServer::open(IpAddress::v4(127, 0, 0, 1), taken->port());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().message,
            fmt::format("cannot listen on 127.0.0.1:{}: Address already in use; see metrics.listen",
                        taken->port()));
}

}  // namespace
}  // namespace sluice
