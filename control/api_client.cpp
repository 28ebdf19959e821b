#include "control/api_client.h"

#include <fmt/format.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

namespace sluice {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using Protocol = asio::local::stream_protocol;

namespace {

constexpr size_t kMaxAnswerBytes = 256u << 20;
constexpr std::chrono::milliseconds kRetryAfter{100};

/// Connect, write and read, each begun by the end of the one before.
class Call {
 public:
  Call(asio::io_context& io, http::request<http::string_body> request)
      : stream_(io), request_(std::move(request)) {
    parser_.body_limit(kMaxAnswerBytes);
  }

  void start(const Protocol::endpoint& endpoint, std::chrono::milliseconds timeout) {
    stream_.expires_after(timeout);
    stream_.async_connect(endpoint, [this](error_code error) { on_connect(error); });
  }

  error_code error() const { return error_; }
  bool connected() const { return connected_; }
  ApiAnswer take_answer() {
    const unsigned status = parser_.get().result_int();
    return {status, parser_.release().body()};
  }

 private:
  void on_connect(error_code error) {
    if (error) return end(error);
    connected_ = true;
    http::async_write(stream_, request_, [this](error_code failure, size_t) { on_write(failure); });
  }
  void on_write(error_code error) {
    // A server that refuses a request closes early, and its answer is there to be read.
    const bool closed = error == asio::error::broken_pipe || error == asio::error::connection_reset;
    if (error && !closed) return end(error);
    http::async_read(stream_, buffer_, parser_, [this](error_code failure, size_t) { end(failure); });
  }
  void end(error_code error) { error_ = error; }

  beast::basic_stream<Protocol> stream_;
  http::request<http::string_body> request_;
  http::response_parser<http::string_body> parser_;
  beast::flat_buffer buffer_;
  error_code error_;
  bool connected_ = false;
};

/// The program whose control socket has that name.
std::string_view program_at(const std::string& socket_path) {
  return socket_path.ends_with("proxy.sock") ? "sluice-proxy" : "sluiced";
}

std::string failure_text(const std::string& socket_path, const Call& call,
                         std::chrono::milliseconds timeout) {
  const error_code error = call.error();
  if (error == beast::error::timeout) {
    return fmt::format("{}: no answer within {:g} s; {} hangs or is overloaded, see its log", socket_path,
                       std::chrono::duration<double>(timeout).count(), program_at(socket_path));
  }
  if (error == asio::error::access_denied) {
    return fmt::format("{}: permission denied; run as root or as a member of the socket's group",
                       socket_path);
  }
  if (error == boost::system::errc::no_such_file_or_directory) {
    return fmt::format("{}: no such socket; is {} running? (--socket names another)", socket_path,
                       program_at(socket_path));
  }
  if (error == asio::error::connection_refused) {
    return fmt::format("{}: nobody listens; {} has died or is still starting", socket_path,
                       program_at(socket_path));
  }
  if (call.connected()) {
    return fmt::format("{}: the connection broke before the answer: {}", socket_path, error.message());
  }
  return fmt::format("{}: cannot connect: {}", socket_path, error.message());
}

http::request<http::string_body> make_request(const std::string& method, const std::string& target,
                                              const std::string& body, const std::string& if_match) {
  http::request<http::string_body> request;
  request.method_string(method);
  request.target(target);
  request.set(http::field::host, "localhost");
  request.keep_alive(false);
  if (!body.empty()) request.set(http::field::content_type, "application/json");
  if (!if_match.empty()) request.set(http::field::if_match, fmt::format("\"{}\"", if_match));
  request.body() = body;
  request.prepare_payload();
  return request;
}

/// `timeout` is for the message.
Result<ApiAnswer> call_once(const std::string& socket_path, const http::request<http::string_body>& request,
                            std::chrono::steady_clock::time_point deadline,
                            std::chrono::milliseconds timeout) {
  asio::io_context io;
  Call call(io, request);
  const auto left = deadline - std::chrono::steady_clock::now();
  call.start(Protocol::endpoint(socket_path), std::chrono::duration_cast<std::chrono::milliseconds>(left));
  io.run();
  if (call.error()) return fail(failure_text(socket_path, call, timeout));
  return call.take_answer();
}

}  // namespace

Result<ApiAnswer> api_call(const std::string& socket_path, const std::string& method,
                           const std::string& target, const std::string& body,
                           std::chrono::milliseconds timeout, const std::string& if_match) {
  try {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    const auto request = make_request(method, target, body, if_match);
    while (true) {
      auto answer = call_once(socket_path, request, deadline, timeout);
      const bool busy = answer && answer->status == static_cast<unsigned>(http::status::service_unavailable);
      if (!busy || std::chrono::steady_clock::now() + kRetryAfter >= deadline) return answer;
      std::this_thread::sleep_for(kRetryAfter);
    }
  } catch (const std::exception& error) {
    return fail(fmt::format("{}: {}", socket_path, error.what()));
  }
}

std::string api_segment(std::string_view text) {
  std::string segment;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~:").find(c) != std::string_view::npos;
    segment += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return segment;
}

std::string api_error_text(const ApiAnswer& answer) {
  const auto body = nlohmann::json::parse(answer.body, nullptr, false);
  if (body.is_object() && body.contains("error") && body["error"].is_string()) {
    return body["error"].get<std::string>();
  }
  return fmt::format("the server answered with status {}", answer.status);
}

}  // namespace sluice
