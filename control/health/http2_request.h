// One request over an HTTP/2 connection of its own, cleartext with prior knowledge (RFC 9113, section 3.3);
// what the http2 and grpc checks share.
#pragma once

#include <nghttp2/nghttp2.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/health/stream_check.h"

namespace sluice::control {

using Http2Headers = std::vector<std::pair<std::string, std::string>>;

struct Http2Answer {
  Http2Headers headers;  ///< with ":status"
  Http2Headers trailers;
  std::string body;

  unsigned status() const;
  /// The first value of this name in `headers`, "" if there is none.
  static std::string_view find(const Http2Headers& headers, std::string_view name);
};

class Http2RequestCheck : public StreamCheck {
 protected:
  Http2RequestCheck(const CheckContext& context, const HealthTarget& target) : StreamCheck(context, target) {}

  /// Pseudo header fields first.
  virtual Http2Headers request_headers() const = 0;
  virtual std::string request_body() const { return ""; }
  /// The headers are here; nothing happens if they do not decide yet.
  virtual void on_headers(const Http2Answer&) {}
  /// The answer is complete.
  virtual void on_answer(const Http2Answer& answer) = 0;

 private:
  struct DeleteSession {
    void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
  };

  void on_connected() override;
  bool submit();
  void send();
  void receive();
  void on_received(size_t bytes);
  void on_closed(const boost::system::error_code& error);
  const char* where() const;

  static int on_header(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name,
                       size_t name_length, const uint8_t* value, size_t value_length, uint8_t flags,
                       void* self);
  static int on_frame(nghttp2_session* session, const nghttp2_frame* frame, void* self);
  static int on_data(nghttp2_session* session, uint8_t flags, int32_t stream, const uint8_t* data,
                     size_t length, void* self);
  static int on_stream_close(nghttp2_session* session, int32_t stream, uint32_t error, void* self);
  static ssize_t read_body(nghttp2_session* session, int32_t stream, uint8_t* buffer, size_t length,
                           uint32_t* flags, nghttp2_data_source* source, void* self);

  std::unique_ptr<nghttp2_session, DeleteSession> session_;
  std::string body_;      ///< what is still to be sent of the request's body
  std::string outgoing_;  ///< being written
  bool writing_ = false;
  std::array<char, 16384> incoming_;
  bool received_any_ = false;
  bool headers_complete_ = false;
  bool too_long_ = false;
  bool stream_closed_ = false;
  uint32_t stream_error_ = NGHTTP2_NO_ERROR;
  Http2Answer answer_;
};

}  // namespace sluice::control
