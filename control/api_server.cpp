#include "control/api_server.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "control/listening_socket.h"

namespace sluice {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using Protocol = asio::local::stream_protocol;

ApiResponse api_error(unsigned status, const std::string& message) {
  return {status,
          nlohmann::json{{"error", message}}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)};
}

namespace {

int hexadecimal_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// RFC 3986, section 2.1; nullopt if a '%' is not followed by two digits.
std::optional<std::string> percent_decoded(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    const int high = i + 2 <= text.size() - 1 ? hexadecimal_digit(text[i + 1]) : -1;
    const int low = i + 2 <= text.size() - 1 ? hexadecimal_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0) return std::nullopt;
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return decoded;
}

/// "uid 0"; "" if the kernel does not say.
std::string peer_of(int descriptor) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return "";
  return fmt::format("uid {}", peer.uid);
}

class Session;

/// What a session needs of its server.
struct Shared {
  ApiLimits limits;
  std::map<std::string, std::map<std::string, ApiHandler>> routes;  ///< path → method → handler
  std::unordered_set<Session*> sessions;
  bool stopped = false;
};

std::string known_paths(const Shared& shared) {
  std::string text;
  for (const auto& [path, methods] : shared.routes) text += (text.empty() ? "" : ", ") + path;
  return text;
}

/// The parts between slashes; "/a/b" has "", "a" and "b".
std::vector<std::string_view> segments_of(std::string_view path) {
  std::vector<std::string_view> segments;
  while (true) {
    const auto slash = path.find('/');
    segments.push_back(path.substr(0, slash));
    if (slash == path.npos) return segments;
    path.remove_prefix(slash + 1);
  }
}

/// What stands in the place of the {names}, still encoded; nullopt if the path is another one.
std::optional<std::vector<std::string_view>> match(std::string_view pattern, std::string_view path) {
  const auto wanted = segments_of(pattern);
  const auto found = segments_of(path);
  if (wanted.size() != found.size()) return std::nullopt;
  std::vector<std::string_view> parameters;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i].starts_with('{')) {
      if (found[i].empty()) return std::nullopt;
      parameters.push_back(found[i]);
    } else if (wanted[i] != found[i]) {
      return std::nullopt;
    }
  }
  return parameters;
}

ApiResponse answer(const Shared& shared, ApiRequest& request, std::string& allowed) {
  auto path = shared.routes.find(request.path);
  for (auto i = shared.routes.begin(); path == shared.routes.end() && i != shared.routes.end(); ++i) {
    const auto parameters = match(i->first, request.path);
    if (!parameters) continue;
    path = i;
    for (const std::string_view encoded : *parameters) {
      auto decoded = percent_decoded(encoded);
      if (!decoded) {
        return api_error(400,
                         fmt::format("path: found '{}'; accepted: % with two hexadecimal digits", encoded));
      }
      request.parameters.push_back(*std::move(decoded));
    }
  }
  if (path == shared.routes.end()) {
    return api_error(404, fmt::format("no such path '{}'; known: {}", request.path, known_paths(shared)));
  }
  const auto handler = path->second.find(request.method);
  if (handler == path->second.end()) {
    for (const auto& [method, unused] : path->second) allowed += (allowed.empty() ? "" : ", ") + method;
    return api_error(405,
                     fmt::format("'{}' is not for {}; accepted: {}", request.method, request.path, allowed));
  }
  try {
    return handler->second(request);
  } catch (const std::exception& error) {
    return api_error(500, fmt::format("internal error: {}", error.what()));
  } catch (...) {
    return api_error(500, "internal error");
  }
}

/// One client: requests one after the other until it closes, errs or is too slow.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Protocol::socket socket, std::shared_ptr<Shared> shared)
      : stream_(std::move(socket)), shared_(std::move(shared)) {
    shared_->sessions.insert(this);
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() { shared_->sessions.erase(this); }

  void read() {
    parser_.emplace();
    parser_->body_limit(shared_->limits.body_bytes);
    parser_->header_limit(static_cast<std::uint32_t>(shared_->limits.header_bytes));
    // One deadline for the whole request: a client that sends a byte now and then does not move it.
    stream_.expires_after(shared_->limits.request_time);
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](error_code error, size_t) { self->on_read(error); });
  }

  void close() {
    error_code ignored;
    stream_.socket().close(ignored);
  }

 private:
  void on_read(error_code error) {
    if (shared_->stopped) return;
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
    request.peer = peer_of(stream_.socket().native_handle());
    std::string allowed;
    ApiResponse response = answer(*shared_, request, allowed);
    write(std::move(response), allowed, message.version(), message.keep_alive());
  }

  /// Answers what could not be read to its end; where the next request begins is then unknown.
  void refuse(unsigned status, const std::string& message) {
    write(api_error(status, message), {}, 11, false);
  }

  void write(ApiResponse response, const std::string& allowed, unsigned version, bool keep_alive) {
    response_.emplace();
    response_->version(version);
    response_->result(response.status);
    response_->set(http::field::content_type, response.content_type);
    if (!response.etag.empty()) response_->set(http::field::etag, fmt::format("\"{}\"", response.etag));
    response_->set(http::field::cache_control, "no-store");
    if (!allowed.empty()) response_->set(http::field::allow, allowed);
    response_->keep_alive(keep_alive);
    response_->body() = std::move(response.body);
    response_->prepare_payload();
    stream_.expires_after(shared_->limits.request_time);
    http::async_write(stream_, *response_, [self = shared_from_this(), keep_alive](error_code error, size_t) {
      if (!error && keep_alive && !self->shared_->stopped) self->read();
    });
  }

  beast::basic_stream<Protocol> stream_;
  std::shared_ptr<Shared> shared_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::optional<http::response<http::string_body>> response_;
};

}  // namespace

std::optional<std::string> ApiRequest::query_value(std::string_view key) const {
  std::string_view rest = query;
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    const auto equals = pair.find('=');
    if (pair.substr(0, equals) != key) continue;
    return percent_decoded(equals == pair.npos ? "" : pair.substr(equals + 1)).value_or("");
  }
  return std::nullopt;
}

class ApiServer::Core : public std::enable_shared_from_this<Core> {
 public:
  Core(asio::io_context& io, ListeningSocket socket, const ApiLimits& limits)
      : file_(std::move(socket)), acceptor_(io), retry_(io) {
    shared_->limits = limits;
  }

  /// Takes over the descriptor and begins to accept.
  Result<void> start() {
    error_code error;
    const int descriptor = file_.release_descriptor();
    acceptor_.assign(Protocol(), descriptor, error);
    if (error) {
      ::close(descriptor);
      return fail(fmt::format("control socket: {}", error.message()));
    }
    accept();
    return {};
  }

  void route(const std::string& method, const std::string& path, ApiHandler handler) {
    shared_->routes[path][method] = std::move(handler);
  }

  std::vector<std::string> routes() const {
    std::vector<std::string> all;
    for (const auto& [path, methods] : shared_->routes) {
      for (const auto& [method, handler] : methods) all.push_back(method + ' ' + path);
    }
    return all;
  }

  void stop() {
    if (std::exchange(shared_->stopped, true)) return;
    error_code ignored;
    acceptor_.close(ignored);
    retry_.cancel(ignored);
    // Handlers may hold what the owner is about to destroy, and sessions outlive this call by their last
    // completion.
    shared_->routes.clear();
    for (Session* session : shared_->sessions) session->close();
    file_.remove_file();
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
    if (shared_->sessions.size() >= shared_->limits.clients) return turn_away(std::move(socket));
    std::make_shared<Session>(std::move(socket), shared_)->read();
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

  ListeningSocket file_;
  Protocol::acceptor acceptor_;
  asio::steady_timer retry_;
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

ApiServer::ApiServer(std::shared_ptr<Core> core) : core_(std::move(core)) {}

ApiServer::~ApiServer() {
  stop();
}

Result<std::unique_ptr<ApiServer>> ApiServer::open(asio::io_context& io, const std::string& socket_path,
                                                   const ApiLimits& limits) {
  auto socket = ListeningSocket::open(socket_path);
  if (!socket) return tl::unexpected(socket.error());
  auto core = std::make_shared<Core>(io, *std::move(socket), limits);
  if (auto started = core->start(); !started) return tl::unexpected(started.error());
  return std::unique_ptr<ApiServer>(new ApiServer(std::move(core)));
}

void ApiServer::route(const std::string& method, const std::string& path, ApiHandler handler) {
  core_->route(method, path, std::move(handler));
}

std::vector<std::string> ApiServer::routes() const {
  return core_->routes();
}

void ApiServer::stop() {
  core_->stop();
}

}  // namespace sluice
