#include "control/api_server.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "control/api_places.h"
#include "control/api_routes.h"
#include "control/listening_socket.h"
#include "control/listening_tcp.h"

namespace sluice {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using Protocol = asio::generic::stream_protocol;

ApiResponse api_error(unsigned status, const std::string& message) {
  return {status,
          nlohmann::json{{"error", message}}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)};
}

namespace {

constexpr int64_t kUnknownOwner = -1;

/// The user at the other end; kUnknownOwner if the kernel does not say, as with TCP.
int64_t owner_of(int descriptor) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return kUnknownOwner;
  return peer.uid == static_cast<uid_t>(-1) ? kUnknownOwner : int64_t{peer.uid};
}

class Session;

/// What a session needs of its server.
struct Shared {
  ApiLimits limits;
  ApiRoutes routes;
  std::unordered_set<Session*> sessions;
  bool stopped = false;
};

/// One client: requests one after the other until it closes, errs or is too slow.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Protocol::socket socket, std::shared_ptr<Shared> shared)
      : stream_(std::move(socket)), shared_(std::move(shared)) {
    place_.owner = owner_of(stream_.socket().native_handle());
    shared_->sessions.insert(this);
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() { shared_->sessions.erase(this); }

  const ApiPlace& place() const { return place_; }

  void read() {
    place_.taking_answer = false;
    place_.since = std::chrono::steady_clock::now();
    parser_.emplace();
    parser_->body_limit(shared_->limits.body_bytes);
    parser_->header_limit(static_cast<std::uint32_t>(shared_->limits.header_bytes));
    // One deadline for the whole request: a client that sends a byte now and then does not move it.
    stream_.expires_after(shared_->limits.request_time);
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](error_code error, size_t) { self->on_read(error); });
  }

  /// Its place is free at once; it ends with its last completion.
  void close() {
    closed_ = true;
    shared_->sessions.erase(this);
    error_code ignored;
    stream_.socket().close(ignored);
  }

 private:
  void on_read(error_code error) {
    // Whole or not: who cannot be answered any more is not obeyed either.
    if (closed_) return;
    if (error == http::error::end_of_stream || error == beast::error::timeout) return;
    if (error == http::error::body_limit) {
      return refuse(413, fmt::format("the body is longer than {} bytes", shared_->limits.body_bytes));
    }
    if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      return refuse(431, fmt::format("the header is longer than {} bytes", shared_->limits.header_bytes));
    }
    if (error && error.category() == http::make_error_code(http::error::bad_method).category()) {
      return refuse(400, fmt::format("malformed HTTP: {}", error.message()));
    }
    if (error) return;  // the connection is gone

    const auto message = parser_->release();
    const std::string_view target(message.target().data(), message.target().size());
    const auto question = target.find('?');
    ApiRequest request{std::string(message.method_string()), std::string(target.substr(0, question)),
                       std::string(question == target.npos ? "" : target.substr(question + 1)),
                       message.body()};
    request.if_match = std::string(message[http::field::if_match]);
    if (place_.owner != kUnknownOwner) request.peer = fmt::format("uid {}", place_.owner);
    place_.taking_answer = true;
    place_.since = std::chrono::steady_clock::now();
    shared_->routes.answer(request, [self = shared_from_this(), version = message.version(),
                                     keep_alive = message.keep_alive()](ApiResponse response) {
      if (!self->closed_) self->write(std::move(response), version, keep_alive);
    });
  }

  /// Answers what could not be read to its end; where the next request begins is then unknown.
  void refuse(unsigned status, const std::string& message) { write(api_error(status, message), 11, false); }

  void write(ApiResponse response, unsigned version, bool keep_alive) {
    response_.emplace();
    response_->version(version);
    response_->result(response.status);
    response_->set(http::field::content_type, response.content_type);
    if (!response.etag.empty()) response_->set(http::field::etag, fmt::format("\"{}\"", response.etag));
    response_->set(http::field::cache_control, "no-store");
    if (!response.allow.empty()) response_->set(http::field::allow, response.allow);
    response_->keep_alive(keep_alive);
    response_->body() = std::move(response.body);
    response_->prepare_payload();
    place_.taking_answer = true;
    place_.since = std::chrono::steady_clock::now();
    stream_.expires_after(shared_->limits.answer_time);
    http::async_write(stream_, *response_, [self = shared_from_this(), keep_alive](error_code error, size_t) {
      if (!error && keep_alive && !self->closed_) self->read();
    });
  }

  beast::basic_stream<Protocol> stream_;
  std::shared_ptr<Shared> shared_;
  ApiPlace place_;
  bool closed_ = false;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::optional<http::response<http::string_body>> response_;
};

}  // namespace

class ApiServer::Core : public std::enable_shared_from_this<Core> {
 public:
  Core(asio::io_context& io, std::optional<ListeningSocket> file, const ApiLimits& limits)
      : file_(std::move(file)), acceptor_(io), retry_(io) {
    shared_->limits = limits;
  }

  /// Takes over the descriptor and begins to accept.
  Result<void> start(int descriptor, int family) {
    error_code error;
    acceptor_.assign(Protocol(family, 0), descriptor, error);
    if (error) {
      ::close(descriptor);
      return fail(fmt::format("listening socket: {}", error.message()));
    }
    accept();
    return {};
  }

  void route(const std::string& method, const std::string& path, ApiLateHandler handler) {
    shared_->routes.add(method, path, std::move(handler));
  }

  void not_yet(std::function<std::string()> why) { shared_->routes.not_yet(std::move(why)); }

  std::vector<std::string> routes() const { return shared_->routes.names(); }

  int descriptor() { return acceptor_.native_handle(); }

  void stop() {
    if (std::exchange(shared_->stopped, true)) return;
    error_code ignored;
    acceptor_.close(ignored);
    retry_.cancel(ignored);
    // Handlers may hold what the owner is about to destroy, and sessions outlive this call by their last
    // completion.
    shared_->routes.clear();
    const auto sessions = shared_->sessions;
    for (Session* session : sessions) session->close();
    if (file_) file_->remove_file();
  }

 private:
  void accept() {
    acceptor_.async_accept([self = shared_from_this()](error_code error, Protocol::socket socket) {
      if (self->shared_->stopped || error == asio::error::operation_aborted) return;
      if (error) return self->accept_later();
      self->begin(std::move(socket));
      self->accept();
    });
  }

  /// Out of descriptors, most likely: they come back when clients leave. At once would be a busy loop.
  void accept_later() {
    retry_.expires_after(std::chrono::milliseconds(100));
    retry_.async_wait([self = shared_from_this()](error_code error) {
      if (!error && !self->shared_->stopped) self->accept();
    });
  }

  void begin(Protocol::socket socket) {
    if (shared_->sessions.size() >= shared_->limits.clients && !free_a_place()) {
      return turn_away(std::move(socket));
    }
    std::make_shared<Session>(std::move(socket), shared_)->read();
  }

  bool free_a_place() {
    const std::vector<Session*> sessions(shared_->sessions.begin(), shared_->sessions.end());
    std::vector<ApiPlace> places;
    places.reserve(sessions.size());
    for (const Session* session : sessions) places.push_back(session->place());
    const auto freed = place_to_free(places, std::chrono::steady_clock::now());
    if (freed) sessions[*freed]->close();
    return freed.has_value();
  }

  /// The answer fits into any socket buffer, so it is sent without waiting.
  void turn_away(Protocol::socket socket) {
    const std::string body =
        api_error(503, fmt::format("{} clients are connected already; try again", shared_->limits.clients))
            .body;
    const std::string text = fmt::format(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {}\r\n"
        "Connection: close\r\n\r\n{}",
        body.size(), body);
    (void)::send(socket.native_handle(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  std::optional<ListeningSocket> file_;
  asio::basic_socket_acceptor<Protocol> acceptor_;
  asio::steady_timer retry_;
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

ApiServer::ApiServer(std::shared_ptr<Core> core) : core_(std::move(core)) {}

ApiServer::~ApiServer() {
  stop();
}

Result<std::unique_ptr<ApiServer>> ApiServer::open(asio::io_context& io, const std::string& socket_path,
                                                   const ApiLimits& limits, std::string_view field) {
  auto socket = ListeningSocket::open(socket_path, field);
  if (!socket) return tl::unexpected(socket.error());
  const int descriptor = socket->release_descriptor();
  auto core = std::make_shared<Core>(io, *std::move(socket), limits);
  if (auto started = core->start(descriptor, AF_UNIX); !started) return tl::unexpected(started.error());
  return std::unique_ptr<ApiServer>(new ApiServer(std::move(core)));
}

Result<std::unique_ptr<ApiServer>> ApiServer::open_tcp(asio::io_context& io, const IpAddress& address,
                                                       uint16_t port, const ApiLimits& limits) {
  const auto descriptor = listen_tcp(address, port);
  if (!descriptor) return tl::unexpected(descriptor.error());
  auto core = std::make_shared<Core>(io, std::nullopt, limits);
  if (auto started = core->start(*descriptor, address.is_v4() ? AF_INET : AF_INET6); !started) {
    return tl::unexpected(started.error());
  }
  return std::unique_ptr<ApiServer>(new ApiServer(std::move(core)));
}

uint16_t ApiServer::port() const {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getsockname(core_->descriptor(), reinterpret_cast<sockaddr*>(&address), &length) != 0) return 0;
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  return address.ss_family == AF_INET6 ? ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port) : 0;
}

void ApiServer::route(const std::string& method, const std::string& path, ApiHandler handler) {
  route_late(method, path, [handler = std::move(handler)](const ApiRequest& request, const ApiReply& reply) {
    reply(handler(request));
  });
}

void ApiServer::route_late(const std::string& method, const std::string& path, ApiLateHandler handler) {
  core_->route(method, path, std::move(handler));
}

void ApiServer::not_yet(std::function<std::string()> why) {
  core_->not_yet(std::move(why));
}

std::vector<std::string> ApiServer::routes() const {
  return core_->routes();
}

void ApiServer::stop() {
  core_->stop();
}

}  // namespace sluice
