// The end of a proxy, as clients see it who came a moment before.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <string>

#include "dataplane/l7/proxy.h"
#include "tests/unit/loopback_port.h"

namespace sluice::l7 {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

constexpr std::string_view kRequest = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

std::shared_ptr<ProxySettings> answering(const std::string& body, uint16_t port) {
  Route route;
  route.action = DirectResponse{.body = body};
  auto settings = std::make_shared<ProxySettings>();
  ListenerSettings& listener = settings->listeners.emplace_back();
  listener.name = "front";
  listener.address = IpAddress::v4(127, 0, 0, 1);
  listener.port = port;
  listener.routes.virtual_hosts = {{.name = "all", .domains = {"*"}, .routes = {std::move(route)}}};
  return settings;
}

/// A client that has sent its request and reads to the end of the connection.
class Client {
 public:
  explicit Client(uint16_t port) : fd_(test::connect_to(port)) {
    if (send(fd_, kRequest.data(), kRequest.size(), 0) != ssize_t(kRequest.size())) std::abort();
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { close(fd_); }

  std::string rest() const {
    std::string text;
    char part[4096];
    ssize_t got = 0;
    while ((got = recv(fd_, part, sizeof(part), 0)) > 0) text.append(part, static_cast<size_t>(got));
    return got == 0 ? text + "(end)" : text + "(" + std::strerror(errno) + ")";
  }

 private:
  int fd_;
};

// The kernel has told the client that it is connected: closing the listening socket now would reset it.
TEST(ProxyDrain, WhoWaitsToBeAcceptedIsStillAnswered) {
  const test::Port port;
  auto snapshot = build_snapshot(answering("here", port.number), nullptr, PickTime::clock::now());
  ASSERT_TRUE(snapshot) << snapshot.error().message;
  auto proxy = Proxy::start(*std::move(snapshot), {});
  ASSERT_TRUE(proxy) << proxy.error().message;
  // Nobody accepts yet.
  const Client client(port.number);
  (*proxy)->drain(std::chrono::seconds(10), std::chrono::seconds(0));
  const std::string answer = client.rest();
  EXPECT_THAT(answer, HasSubstr("200"));
  EXPECT_THAT(answer, HasSubstr("connection: close"));
  EXPECT_THAT(answer, EndsWith("here(end)"));
}

}  // namespace
}  // namespace sluice::l7
