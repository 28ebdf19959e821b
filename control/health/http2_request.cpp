#include "control/health/http2_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <charconv>

#include "control/health/http_answer.h"
#include "control/health/socket_error.h"

namespace sluice::control {

namespace {

nghttp2_nv field(const std::pair<std::string, std::string>& header) {
  const auto bytes = [](const std::string& text) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));  // nghttp2 copies it
  };
  return {bytes(header.first), bytes(header.second), header.first.size(), header.second.size(),
          NGHTTP2_NV_FLAG_NONE};
}

/// RFC 9113, section 3.4: a server's first frame is SETTINGS; the type stands in the fourth byte.
bool begins_http2(std::string_view bytes) {
  return bytes.size() < 4 || bytes[3] == NGHTTP2_SETTINGS;
}

}  // namespace

unsigned Http2Answer::status() const {
  const std::string_view text = find(headers, ":status");
  unsigned status = 0;
  std::from_chars(text.data(), text.data() + text.size(), status);
  return status;
}

std::string_view Http2Answer::find(const Http2Headers& headers, std::string_view name) {
  const auto found = std::find_if(headers.begin(), headers.end(),
                                  [name](const auto& header) { return header.first == name; });
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

void Http2RequestCheck::on_connected() {
  if (!submit()) {
    finish(CheckResult::not_run("check not run: no HTTP/2 session could be made"));
    return;
  }
  send();
  if (!ended()) receive();
}

bool Http2RequestCheck::submit() {
  nghttp2_session_callbacks* callbacks = nullptr;
  if (nghttp2_session_callbacks_new(&callbacks) != 0) return false;
  nghttp2_session_callbacks_set_on_header_callback(callbacks, &on_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, &on_frame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, &on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, &on_stream_close);
  nghttp2_session* session = nullptr;
  const int made = nghttp2_session_client_new(&session, callbacks, this);
  nghttp2_session_callbacks_del(callbacks);
  if (made != 0) return false;
  session_.reset(session);

  const std::array<nghttp2_settings_entry, 1> settings = {{{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}}};
  const Http2Headers headers = request_headers();
  std::vector<nghttp2_nv> fields;
  for (const auto& header : headers) fields.push_back(field(header));
  body_ = request_body();
  nghttp2_data_provider provider{};
  provider.read_callback = &read_body;
  return nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings.data(), settings.size()) == 0 &&
         nghttp2_submit_request(session, nullptr, fields.data(), fields.size(),
                                body_.empty() ? nullptr : &provider, this) > 0;
}

void Http2RequestCheck::send() {
  if (writing_) return;
  outgoing_.clear();
  const uint8_t* data = nullptr;
  ssize_t length = 0;
  while ((length = nghttp2_session_mem_send(session_.get(), &data)) > 0) {
    outgoing_.append(reinterpret_cast<const char*>(data), static_cast<size_t>(length));
  }
  if (outgoing_.empty()) return;
  writing_ = true;
  boost::asio::async_write(socket_, boost::asio::buffer(outgoing_),
                           [this, self = shared_from_this()](const boost::system::error_code& error, size_t) {
                             if (ended()) return;
                             writing_ = false;
                             // What a server said before it closed is still to be read: receive() ends the
                             // check.
                             if (!error) send();
                           });
}

void Http2RequestCheck::receive() {
  socket_.async_read_some(
      boost::asio::buffer(incoming_),
      [this, self = shared_from_this()](const boost::system::error_code& error, size_t bytes) {
        if (ended()) return;
        if (error) {
          on_closed(error);
        } else {
          on_received(bytes);
        }
      });
}

void Http2RequestCheck::on_received(size_t bytes) {
  const std::string_view data(incoming_.data(), bytes);
  if (!received_any_ && !begins_http2(data)) {
    finish(CheckResult::bad(data.starts_with("HTTP/1") ? "the server speaks HTTP/1, not HTTP/2"
                                                       : "answer is not HTTP/2"));
    return;
  }
  received_any_ = true;
  const ssize_t taken =
      nghttp2_session_mem_recv(session_.get(), reinterpret_cast<const uint8_t*>(incoming_.data()), bytes);
  if (ended()) return;
  if (taken < 0) {
    finish(
        CheckResult::bad(fmt::format("answer is not HTTP/2: {}", nghttp2_strerror(static_cast<int>(taken)))));
  } else if (too_long_) {
    finish(http_body_too_long());
  } else if (stream_closed_ && stream_error_ == NGHTTP2_NO_ERROR && headers_complete_) {
    on_answer(answer_);
  } else if (stream_closed_) {
    finish(CheckResult::bad(
        fmt::format("HTTP/2 stream reset {}: {}", where(), nghttp2_http2_strerror(stream_error_))));
  } else {
    if (headers_complete_) on_headers(answer_);
    if (ended()) return;
    send();
    if (!nghttp2_session_want_read(session_.get()) && !nghttp2_session_want_write(session_.get())) {
      finish(CheckResult::bad(fmt::format("HTTP/2 connection ended {}", where())));
      return;
    }
    receive();
  }
}

void Http2RequestCheck::on_closed(const boost::system::error_code& error) {
  finish(socket_failure(error, where()));
}

const char* Http2RequestCheck::where() const {
  return answer_.headers.empty() ? "before an answer" : "in the middle of the answer";
}

int Http2RequestCheck::on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                                 size_t name_length, const uint8_t* value, size_t value_length, uint8_t,
                                 void* self) {
  auto& check = *static_cast<Http2RequestCheck*>(self);
  if (frame->hd.type != NGHTTP2_HEADERS) return 0;
  Http2Headers& headers = check.headers_complete_ ? check.answer_.trailers : check.answer_.headers;
  headers.emplace_back(std::string(reinterpret_cast<const char*>(name), name_length),
                       std::string(reinterpret_cast<const char*>(value), value_length));
  return 0;
}

int Http2RequestCheck::on_frame(nghttp2_session*, const nghttp2_frame* frame, void* self) {
  auto& check = *static_cast<Http2RequestCheck*>(self);
  if (frame->hd.type != NGHTTP2_HEADERS || check.headers_complete_) return 0;
  if (check.answer_.status() < 200) {
    check.answer_.headers.clear();  // RFC 9110, section 15.2: an interim answer
  } else {
    check.headers_complete_ = true;
  }
  return 0;
}

int Http2RequestCheck::on_data(nghttp2_session*, uint8_t, int32_t, const uint8_t* data, size_t length,
                               void* self) {
  auto& check = *static_cast<Http2RequestCheck*>(self);
  if (check.answer_.body.size() + length > kMaxHttpBody) {
    check.too_long_ = true;
  } else {
    check.answer_.body.append(reinterpret_cast<const char*>(data), length);
  }
  return 0;
}

int Http2RequestCheck::on_stream_close(nghttp2_session*, int32_t, uint32_t error, void* self) {
  auto& check = *static_cast<Http2RequestCheck*>(self);
  check.stream_closed_ = true;
  check.stream_error_ = error;
  return 0;
}

ssize_t Http2RequestCheck::read_body(nghttp2_session*, int32_t, uint8_t* buffer, size_t length,
                                     uint32_t* flags, nghttp2_data_source*, void* self) {
  auto& check = *static_cast<Http2RequestCheck*>(self);
  const size_t bytes = std::min(length, check.body_.size());
  std::copy_n(check.body_.data(), bytes, buffer);
  check.body_.erase(0, bytes);
  if (check.body_.empty()) *flags |= NGHTTP2_DATA_FLAG_EOF;
  return static_cast<ssize_t>(bytes);
}

}  // namespace sluice::control
