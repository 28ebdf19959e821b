#include "control/proxy/otlp_sender.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <charconv>
#include <nlohmann/json.hpp>
#include <thread>

#include "control/log_line.h"

namespace sluice {

std::string otlp_authority(const OtlpSettings& settings) {
  const bool v6 = settings.host.find(':') != std::string::npos;
  return fmt::format(fmt::runtime(v6 ? "[{}]:{}" : "{}:{}"), settings.host, settings.port);
}

}  // namespace sluice

namespace sluice::control {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr size_t kMaxAnswerBytes = 256 * 1024;
constexpr std::chrono::seconds kMaxWait{300};

// opentelemetry-proto, "Retryable Response Codes".
bool may_come_again(http::status status) {
  return status == http::status::too_many_requests || status == http::status::bad_gateway ||
         status == http::status::service_unavailable || status == http::status::gateway_timeout;
}

// A number of seconds; the other form of Retry-After, a date, counts as none.
std::chrono::seconds read_wait(std::string_view text) {
  uint32_t seconds = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size()) return std::chrono::seconds(0);
  return std::min<std::chrono::seconds>(std::chrono::seconds(seconds), kMaxWait);
}

// ExportTraceServiceResponse: {"partialSuccess": {"rejectedSpans": "3"}}.
uint64_t read_rejected(const std::string& body) {
  const auto json = nlohmann::json::parse(body, nullptr, false);
  const auto partial = json.is_object() ? json.find("partialSuccess") : json.end();
  if (partial == json.end() || !partial->is_object()) return 0;
  const auto rejected = partial->find("rejectedSpans");
  if (rejected == partial->end()) return 0;
  if (rejected->is_number_unsigned()) return rejected->get<uint64_t>();
  if (!rejected->is_string()) return 0;
  const auto& text = rejected->get_ref<const std::string&>();
  uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

std::string_view otlp_failure_name(OtlpFailure failure) {
  switch (failure) {
    case OtlpFailure::kConnection:
      return "connection";
    case OtlpFailure::kTimeout:
      return "timeout";
    case OtlpFailure::kStatus:
      return "status";
  }
  return "";
}

/// A connection, and the request on it.
class OtlpSender::Post : public std::enable_shared_from_this<Post> {
 public:
  Post(const std::shared_ptr<asio::io_context>& io, const OtlpSettings& settings)
      : io_(io), settings_(settings), lookup_timer_(*io), stream_(*io) {
    request_.method(http::verb::post);
    request_.target(settings.path);
    request_.version(11);
    request_.set(http::field::host, otlp_authority(settings));
    request_.set(http::field::user_agent, "sluice-proxy");
    request_.set(http::field::content_type, "application/json");
    for (const auto& [name, value] : settings.headers) request_.set(name, value);
  }

  void send(std::string_view body, Done done) {
    done_ = std::move(done);
    request_.body() = {body.data(), body.size()};
    request_.prepare_payload();
    until_ = std::chrono::steady_clock::now() + settings_.timeout;
    if (connected_) {
      reused_ = true;
      write();
    } else {
      connect();
    }
  }

  /// Nobody is told anything any more.
  void close() {
    done_ = nullptr;
    lookup_timer_.cancel();
    error_code ignored;
    stream_.socket().close(ignored);
  }

 private:
  void connect() {
    reused_ = false;
    error_code not_numeric;
    const auto address = asio::ip::make_address(settings_.host, not_numeric);
    if (!not_numeric) {
      endpoints_ = {tcp::endpoint(address, settings_.port)};
      connect_to_one();
    } else {
      look_up();
    }
  }

  // The system's resolver cannot be stopped: a thread of its own may outlive us, so that the process need not
  // wait for a name server that is gone.
  void look_up() {
    lookup_timer_.expires_at(until_);
    lookup_timer_.async_wait([self = shared_from_this()](error_code cancelled) {
      if (!cancelled) self->fail_with(beast::error::timeout, "look up the collector's address");
    });
    std::thread([io = io_.lock(), host = settings_.host, port = settings_.port, weak = weak_from_this()] {
      asio::io_context own;
      tcp::resolver resolver(own);
      error_code error;
      const auto found = resolver.resolve(host, std::to_string(port), error);
      std::vector<tcp::endpoint> endpoints;
      for (const auto& entry : found) endpoints.push_back(entry.endpoint());
      asio::post(*io, [weak, error, endpoints = std::move(endpoints)] {
        if (const auto self = weak.lock()) self->on_looked_up(error, endpoints);
      });
    }).detach();
  }

  void on_looked_up(error_code error, const std::vector<tcp::endpoint>& endpoints) {
    if (!done_) return;
    lookup_timer_.cancel();
    if (error) return fail_with(error, "look up the collector's address");
    endpoints_ = endpoints;
    connect_to_one();
  }

  void connect_to_one() {
    stream_.expires_at(until_);
    stream_.async_connect(endpoints_, [self = shared_from_this()](error_code error, const tcp::endpoint&) {
      if (!self->done_) return;
      if (error) return self->fail_with(error, "connect");
      self->connected_ = true;
      error_code ignored;
      self->stream_.socket().set_option(tcp::no_delay(true), ignored);
      self->write();
    });
  }

  void write() {
    stream_.expires_at(until_);
    http::async_write(stream_, request_, [self = shared_from_this()](error_code error, size_t) {
      if (!self->done_) return;
      // A server that refuses a request closes early, and its answer is there to be read.
      const bool closed = error == asio::error::broken_pipe || error == asio::error::connection_reset;
      if (error && !closed) return self->fail_with(error, "send");
      self->read();
    });
  }

  void read() {
    parser_.emplace();
    parser_->body_limit(kMaxAnswerBytes);
    buffer_.clear();
    http::async_read(stream_, buffer_, *parser_, [self = shared_from_this()](error_code error, size_t) {
      if (!self->done_) return;
      if (error) return self->on_read_failed(error);
      self->on_answer();
    });
  }

  // A connection that was kept may have been closed meanwhile: that says nothing about the collector.
  void on_read_failed(error_code error) {
    if (reused_ && error != beast::error::timeout && !parser_->got_some()) {
      disconnect();
      connect();
      return;
    }
    fail_with(error, "read the answer");
  }

  void on_answer() {
    const auto& answer = parser_->get();
    if (!answer.keep_alive()) disconnect();
    OtlpAnswer result;
    if (http::to_status_class(answer.result()) == http::status_class::successful) {
      result.rejected = read_rejected(answer.body());
    } else {
      result.failure = OtlpFailure::kStatus;
      result.error = fmt::format("the collector answers with status {}: {}", answer.result_int(),
                                 one_line(std::string_view(answer.body()).substr(0, 200)));
      result.again = may_come_again(answer.result());
      const auto wait = answer[http::field::retry_after];
      result.wait = read_wait({wait.data(), wait.size()});
    }
    tell(result);
  }

  void fail_with(error_code error, std::string_view what) {
    disconnect();
    const bool late = error == beast::error::timeout;
    OtlpAnswer result;
    result.failure = late ? OtlpFailure::kTimeout : OtlpFailure::kConnection;
    result.error = fmt::format("{}: {}", what, late ? "not within tracing.timeout" : error.message());
    result.again = true;
    tell(result);
  }

  void disconnect() {
    connected_ = false;
    error_code ignored;
    stream_.socket().close(ignored);
  }

  void tell(const OtlpAnswer& answer) {
    if (!done_) return;
    // It may send the next body.
    const Done done = std::exchange(done_, nullptr);
    done(answer);
  }

  std::weak_ptr<asio::io_context> io_;  // its handlers own us
  const OtlpSettings settings_;
  asio::steady_timer lookup_timer_;
  beast::tcp_stream stream_;
  std::vector<tcp::endpoint> endpoints_;
  http::request<http::span_body<const char>> request_;
  std::optional<http::response_parser<http::string_body>> parser_;
  beast::flat_buffer buffer_;
  std::chrono::steady_clock::time_point until_;
  Done done_;
  bool connected_ = false;
  bool reused_ = false;
};

OtlpSender::OtlpSender(const std::shared_ptr<asio::io_context>& io, OtlpSettings settings) : io_(io) {
  use(std::move(settings));
}

OtlpSender::~OtlpSender() {
  post_->close();
}

void OtlpSender::use(OtlpSettings settings) {
  settings_ = std::move(settings);
  if (post_) post_->close();
  post_ = std::make_shared<Post>(io_, settings_);
}

void OtlpSender::send(std::string_view body, Done done) {
  post_->send(body, std::move(done));
}

}  // namespace sluice::control
