// The API's server with handlers that echo, and clients that send what they like.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "control/api_client.h"
#include "tests/unit/api_site.h"
#include "tests/unit/test_folder.h"

namespace sluice::test {

/// A server on a thread of its own that echoes, fails and answers at length.
class RunningServer : public ApiSite {
 public:
  explicit RunningServer(const std::string& path, const ApiLimits& limits = {}) : ApiSite(path, limits) {
    if (!error().empty()) return;
    server().route("GET", "/v1/echo", [](const ApiRequest& request) {
      return ApiResponse{200, request.method + " " + request.path + " " + request.query + " " + request.body};
    });
    server().route("POST", "/v1/echo", [](const ApiRequest& request) {
      return ApiResponse{201, request.body};
    });
    server().route("GET", "/v1/throws",
                   [](const ApiRequest&) -> ApiResponse { throw std::runtime_error("it broke"); });
    server().route("GET", "/v1/large", [](const ApiRequest&) {
      return ApiResponse{200, std::string(8u << 20, 'x')};
    });
    start();
  }
};

/// A client that sends what it likes.
class RawClient {
 public:
  explicit RawClient(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
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
  Result<ApiAnswer> get(const std::string& target,
                        std::chrono::milliseconds timeout = std::chrono::seconds(20)) {
    return api_call(path_, "GET", target, "", timeout);
  }
  std::string raw(const std::string& request) {
    RawClient client(path_);
    client.send(request);
    return client.read_to_end();
  }

  TestFolder folder_;
  std::string path_ = folder_.path("run/control.sock");
};

}  // namespace sluice::test
