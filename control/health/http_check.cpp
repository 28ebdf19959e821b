#include "control/health/http_check.h"

#include <fmt/format.h>

#include <boost/asio/ssl/error.hpp>
#include <boost/beast/http/error.hpp>

#include "control/health/http_answer.h"
#include "control/health/socket_error.h"

namespace sluice::control {

namespace http = boost::beast::http;

namespace {

constexpr uint32_t kMaxHeader = 64 * 1024;

bool is_end(const boost::system::error_code& error) {
  return error == http::error::end_of_stream || error == http::error::partial_message ||
         error == boost::asio::error::eof || error == boost::asio::ssl::error::stream_truncated;
}

}  // namespace

HttpCheck::HttpCheck(const CheckContext& context, const HealthTarget& target)
    : StreamCheck(context, target),
      body_matters_(!target.check.expected_body.empty()),
      request_(http::verb::get, target.check.path, 11) {
  request_.set(http::field::host, target.check.host.empty() ? authority() : target.check.host);
  request_.set(http::field::user_agent, "sluice-health-check");
  request_.set(http::field::accept, "*/*");
  request_.set(http::field::connection, "close");
  parser_.header_limit(kMaxHeader);
  if (body_matters_) {
    parser_.body_limit(kMaxHttpBody);
  } else {
    parser_.skip(true);
  }
}

void HttpCheck::on_read(const boost::system::error_code& error) {
  const char* when =
      buffer_.size() == 0 && !parser_.got_some() ? "before an answer" : "in the middle of the answer";
  if (!error) {
    finish(judge_http(target_.check, parser_.get().result_int(), parser_.get().body()));
  } else if (error == http::error::body_limit) {
    finish(http_body_too_long());
  } else if (is_end(error)) {
    finish(socket_failure(boost::asio::error::eof, when));
  } else if (error.category() == boost::system::system_category()) {
    finish(socket_failure(error, when));
  } else {
    finish(CheckResult::bad(fmt::format("answer is not HTTP/1.1: {}", printable(error.message()))));
  }
}

}  // namespace sluice::control
