// HTTP/1.1: GET is answered with an expected status and body.
#pragma once

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include "control/health/stream_check.h"

namespace sluice::control {

class HttpCheck : public StreamCheck {
 public:
  HttpCheck(const CheckContext& context, const HealthTarget& target);

 protected:
  void on_connected() override { exchange(socket_); }

  /// Sends the request, judges the answer. `stream` belongs to the check.
  template <typename Stream>
  void exchange(Stream& stream) {
    const auto self = shared_from_this();
    boost::beast::http::async_write(stream, request_,
                                    [this, self, &stream](const boost::system::error_code& error, size_t) {
                                      if (ended()) return;
                                      // A server that answers and closes before it has read everything may
                                      // still have been understood.
                                      if (error) return on_read(error);
                                      receive(stream);
                                    });
  }

 private:
  template <typename Stream>
  void receive(Stream& stream) {
    auto on_end = [this, self = shared_from_this()](const boost::system::error_code& error, size_t) {
      if (!ended()) on_read(error);
    };
    if (body_matters_) {
      boost::beast::http::async_read(stream, buffer_, parser_, std::move(on_end));
    } else {
      boost::beast::http::async_read_header(stream, buffer_, parser_, std::move(on_end));
    }
  }
  void on_read(const boost::system::error_code& error);

  const bool body_matters_;
  boost::beast::http::request<boost::beast::http::empty_body> request_;
  boost::beast::flat_buffer buffer_;
  boost::beast::http::response_parser<boost::beast::http::string_body> parser_;
};

}  // namespace sluice::control
