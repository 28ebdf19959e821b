// HTTP/1.1 with JSON over a unix socket: how the CLI and other programs talk to sluiced. Or over TCP: how
// metrics are scraped.
//
// Everything runs on the io_context's one thread. A client can be slow, silent or hostile without holding
// anybody up: reads and writes are asynchronous and have a deadline, sizes and the number of clients are
// limited. What a handler does is on that thread too, so it must be short.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lb/address.h"
#include "lb/result.h"

namespace boost::asio {
class io_context;
}

namespace sluice {

struct ApiRequest {
  std::string method;  ///< "GET"
  std::string path;    ///< "/v1/stats"
  std::string query;   ///< what follows '?', undecoded
  std::string body;
  std::vector<std::string>
      parameters;        ///< what stands in the place of the route's {names}, decoded, in order
  std::string if_match;  ///< the header's value; "" if there is none
  std::string peer;      ///< who asks: "uid 1000"

  /// The decoded value of `key` in the query, "" for "key" alone; nullopt if absent.
  std::optional<std::string> query_value(std::string_view key) const;
};

struct ApiResponse {
  unsigned status = 200;
  std::string body;  ///< JSON, unless content_type says otherwise
  std::string content_type = "application/json";
  std::string etag;   ///< without quotes; "": no such header
  std::string allow;  ///< methods that would do; "": no such header
};

/// {"error": message} with `status`.
ApiResponse api_error(unsigned status, const std::string& message);

using ApiHandler = std::function<ApiResponse(const ApiRequest&)>;

/// Takes the answer, once, on the io_context's thread; at any time, also when the client or the server has
/// gone.
using ApiReply = std::function<void(ApiResponse)>;
/// A handler that has to ask somebody else first. It must see to it that an answer comes.
using ApiLateHandler = std::function<void(const ApiRequest&, ApiReply)>;

struct ApiLimits {
  size_t body_bytes = 4u << 20;
  size_t header_bytes = 16u << 10;
  size_t clients = 64;                            ///< connections; for one more see api_places.h
  std::chrono::milliseconds request_time{5'000};  ///< for a client to send a request
  std::chrono::milliseconds answer_time{5'000};   ///< for a client to take the answer
};

class ApiServer {
 public:
  /// Listens at `socket_path` with mode 0660; missing directories are made with mode 0755. A socket file that
  /// nobody listens on any more is replaced. Errors, in words: another process listens there; the path is
  /// something else than a socket; no permission. They name `field`, where the path is configured. Nothing is
  /// left behind on an error.
  static Result<std::unique_ptr<ApiServer>> open(boost::asio::io_context& io, const std::string& socket_path,
                                                 const ApiLimits& limits = {},
                                                 std::string_view field = "node.run_dir");
  /// Listens at a TCP address instead; port 0: one that the kernel chooses, see port(). Requests have no
  /// peer. Errors as listen_tcp().
  static Result<std::unique_ptr<ApiServer>> open_tcp(boost::asio::io_context& io, const IpAddress& address,
                                                     uint16_t port, const ApiLimits& limits = {});
  /// As stop().
  ~ApiServer();
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  /// Answers `method` on `path`, in which a segment {name} stands for any one segment that is not empty; a
  /// route without such a segment goes first. Other paths are answered 404, other methods on it 405. A
  /// handler that throws is answered 500.
  void route(const std::string& method, const std::string& path, ApiHandler handler);
  /// Likewise, for answers that come later. The client waits; its next request is read after the answer.
  void route_late(const std::string& method, const std::string& path, ApiLateHandler handler);

  /// Answers everything 503 with what `why` says, until it is called again with nullptr: there is nothing to
  /// tell yet.
  void not_yet(std::function<std::string()> why);

  /// "GET /v1/stats" and the like, in alphabetical order of the paths.
  std::vector<std::string> routes() const;

  /// The TCP port; 0 if it is none.
  uint16_t port() const;

  /// Stops listening, closes all clients and removes the socket file. Must come before the end of the
  /// io_context; completions that are still queued there do no harm.
  void stop();

 private:
  class Core;
  explicit ApiServer(std::shared_ptr<Core> core);
  std::shared_ptr<Core> core_;
};

}  // namespace sluice
