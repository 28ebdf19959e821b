#include "dataplane/l7/http1_session.h"

#include "dataplane/l7/field_text.h"

namespace sluice::l7 {
namespace {

using Kind = CodecEvent::Kind;

// A server that sends more of them keeps its client busy with nothing.
constexpr uint8_t kMaxInformational = 100;

CodecEvent none() {
  return {};
}

}  // namespace

Http1Session::Http1Session(Role role, const Http1Settings& settings, ByteQueue& output, HeaderList& scratch)
    : settings_(settings), output_(output), scratch_(scratch), role_(role) {}

CodecEvent Http1Session::event_of_stream(Kind kind) const {
  CodecEvent event;
  event.kind = kind;
  event.stream = stream_;
  event.stream_id = stream_ == nullptr ? 0 : stream_->id;
  return event;
}

bool Http1Session::wants_input() const {
  return !eof_ && reading_ != Reading::kOver && !held_back_ && unconsumed_ <= settings_.stream_window;
}

CodecEvent Http1Session::next(std::span<const uint8_t>& input) {
  if (writable_due_) {
    writable_due_ = false;
    if (stream_ != nullptr) return event_of_stream(Kind::kWritable);
  }
  while (!input.empty()) {
    switch (reading_) {
      case Reading::kHead:
        if (role_ == Role::kServer) return on_request_head(input);
        if (stream_ != nullptr) return on_response_head(input);
        // RFC 9112 section 9.2: no answer to a request that comes later.
        return fatal("bytes from the server that no request has asked for");
      case Reading::kWaiting:
        if (role_ == Role::kServer) {
          held_back_ = true;
          return none();
        }
        end_connection();  // more than the response, which is complete
        break;
      case Reading::kOver:
        input = {};
        break;
      default: {
        const Reading before = reading_;
        const size_t size = input.size();
        const CodecEvent event = on_body(input);
        if (event.kind != Kind::kNone) return event;
        if (input.size() == size && reading_ == before) return none();
      }
    }
  }
  return none();
}

CodecEvent Http1Session::on_eof() {
  eof_ = true;
  persistent_ = false;
  discarding_ = false;
  if (reading_ == Reading::kUntilEnd || reading_ == Reading::kTunnel) return on_data({}, true);
  if (stream_ == nullptr) {
    end_connection();
    return none();
  }
  if (role_ == Role::kServer) {
    // It may have shut its sending side only, but clients that do so and wait for an answer are rare, and
    // those that have given up are not.
    return lost(Http2Error::kCancel, "the client has closed the connection");
  }
  if (stream_->remote_closed) {
    // The response is complete, and nobody reads what is left of the request.
    stream_->local_closed = true;
    next_message();
    return none();
  }
  return lost(Http2Error::kInternalError, "the server has closed the connection inside of a response");
}

// --- heads

CodecEvent Http1Session::on_request_head(std::span<const uint8_t>& input) {
  if (!empty_line_seen_ && input.front() == '\r') {
    if (input.size() == 1) return none();
    if (input[1] == '\n') {  // RFC 9112 section 2.2: one before a request is to be ignored
      empty_line_seen_ = true;
      input = input.subspan(2);
      if (input.empty()) return none();
    }
  }
  const std::string_view text = head_text(input);
  // Told at once: whoever speaks another protocol here would wait for an answer.
  if (!is_token_character(text.front())) return malformed_request("not a request", 400);
  const HeadEnd end = find_head_end(text, std::min<size_t>(scanned_, text.size()));
  if (end.state == HeadEnd::State::kBad) {
    return malformed_request("line feed without a carriage return", 400);
  }
  if (end.state == HeadEnd::State::kMore) {
    scanned_ = static_cast<uint32_t>(end.at);
    if (text.size() < settings_.max_head_size) return none();
    const bool in_first_line = text.find('\n') == std::string_view::npos;
    return in_first_line ? malformed_request("request line larger than the limit", 414)
                         : malformed_request("head larger than the limit", 431);
  }
  scanned_ = 0;
  empty_line_seen_ = false;
  input = input.subspan(end.at);
  return on_request(parse_request_head(text.substr(0, end.at), settings_, scratch_));
}

CodecEvent Http1Session::on_request(const Http1Head& head) {
  if (head.head.error != nullptr) return malformed_request(head.head.error, head.head.status);
  if (head.head.connect && !head.websocket && !settings_.connect) {
    return malformed_request("CONNECT is not served", 501);
  }
  persistent_ = persistent_ && head.persistent();
  version_1_0_ = head.version_1_0;
  head_request_ = head.head.head_method;
  refusal_ = 0;
  upgrade_ = Upgrade::kNone;
  reading_ = Reading::kWaiting;
  if (head.websocket) {
    upgrade_ = Upgrade::kWebSocket;
    websocket_accept_ = websocket_accept(head.websocket_key);
  } else if (head.head.connect) {
    upgrade_ = Upgrade::kConnect;
  } else if (head.chunked) {
    reading_ = Reading::kChunks;
    chunks_ = {};
  } else if (head.head.content_length > 0) {
    reading_ = Reading::kLength;
    body_left_ = static_cast<uint64_t>(head.head.content_length);
  }
  CodecEvent event;
  event.kind = Kind::kHead;
  event.head = head.head;
  event.stream_id = ++last_id_;
  event.end_stream = reading_ == Reading::kWaiting && upgrade_ == Upgrade::kNone;
  expect_continue_ = head.expect_continue && !event.end_stream;
  // A body would have to be read in whole before the switch: RFC 7540 section 3.2.
  h2c_offered_ = settings_.h2c && event.end_stream && head.upgrade && head.upgrade_h2c &&
                 head.http2_settings && !head.version_1_0;
  h2c_settings_ = head.settings_payload;
  return event;
}

CodecEvent Http1Session::malformed_request(const char* why, uint16_t status) {
  scratch_.clear();
  end_connection();
  version_1_0_ = head_request_ = expect_continue_ = h2c_offered_ = false;
  upgrade_ = Upgrade::kNone;
  refusal_ = status;
  CodecEvent event;
  event.kind = Kind::kHead;
  event.end_stream = true;
  event.error = Http2Error::kProtocolError;
  event.stream_id = ++last_id_;
  event.head.error = why;
  event.head.status = status;
  if (status == 431 || status == 414) event.defence = Defence::kLargeHeaders;
  return event;
}

void Http1Session::accept(uint32_t id, CodecStream& stream, void* owner) {
  stream.clear();
  stream.id = id;
  stream.owner = owner;
  stream.attached = true;
  stream.head_seen = true;
  h2c_offered_ = false;
  stream.remote_closed =
      reading_ == Reading::kOver || (reading_ == Reading::kWaiting && upgrade_ == Upgrade::kNone);
  stream_ = &stream;
}

std::optional<H2cSettings> Http1Session::h2c_upgrade() const {
  if (!h2c_offered_) return std::nullopt;
  return H2cSettings::decode(h2c_settings_);
}

CodecEvent Http1Session::on_response_head(std::span<const uint8_t>& input) {
  const std::string_view text = head_text(input);
  if (text.front() != 'H') return broken("not a response");
  const HeadEnd end = find_head_end(text, std::min<size_t>(scanned_, text.size()));
  if (end.state == HeadEnd::State::kBad) return broken("line feed without a carriage return");
  if (end.state == HeadEnd::State::kMore) {
    scanned_ = static_cast<uint32_t>(end.at);
    return text.size() < settings_.max_head_size
               ? none()
               : broken("head larger than the limit", Defence::kLargeHeaders);
  }
  scanned_ = 0;
  input = input.subspan(end.at);
  const bool upgrading = upgrade_ == Upgrade::kWebSocket || upgrade_ == Upgrade::kOther;
  return on_response(parse_response_head(text.substr(0, end.at), settings_, upgrading, scratch_));
}

CodecEvent Http1Session::on_response(const Http1Head& head) {
  if (head.head.error != nullptr) return broken(head.head.error);
  const uint16_t status = head.head.status;
  if (status < 200) {
    if (++informational_ > kMaxInformational)
      return broken("too many informational responses", Defence::kInformational);
    CodecEvent event = event_of_stream(Kind::kInformational);
    event.head = head.head;
    return event;
  }
  CodecStream& stream = *stream_;
  stream.head_seen = true;
  if (head.switched || (upgrade_ == Upgrade::kConnect && status < 300)) return on_tunnel(head);
  if (upgrade_ != Upgrade::kNone) {
    upgrade_ = Upgrade::kNone;
    stream.local_closed = true;  // there is no tunnel, so that was all of the request
  }
  persistent_ = persistent_ && head.persistent();
  stream.bodyless = stream.bodyless || status == 204 || status == 304;
  CodecEvent event = event_of_stream(Kind::kHead);
  event.head = head.head;
  if (stream.bodyless) {
    event.end_stream = true;
  } else if (head.chunked) {
    reading_ = Reading::kChunks;
    chunks_ = {};
  } else if (head.head.content_length >= 0) {
    reading_ = Reading::kLength;
    body_left_ = static_cast<uint64_t>(head.head.content_length);
    event.end_stream = body_left_ == 0;
  } else {
    reading_ = Reading::kUntilEnd;
    persistent_ = false;
  }
  if (event.end_stream) close_remote();
  return event;
}

CodecEvent Http1Session::on_tunnel(const Http1Head& head) {
  if (upgrade_ == Upgrade::kWebSocket &&
      (!head.upgrade_websocket ||
       head.websocket_key != std::string_view(websocket_accept_.data(), websocket_accept_.size()))) {
    return broken("the server's answer to the WebSocket handshake is wrong");
  }
  stream_->tunnel = true;
  reading_ = Reading::kTunnel;
  writing_ = Writing::kBody;
  framing_ = BodyFraming::kTunnel;
  persistent_ = false;
  end_of_output_ = stream_->local_closed;
  writable_due_ = stream_->blocked;
  // RFC 9110 section 9.3.6: in an answer to CONNECT it means nothing.
  scratch_.remove_if([](std::string_view name, std::string_view) { return name == "content-length"; });
  CodecEvent event = event_of_stream(Kind::kHead);
  event.head = head.head;
  event.head.content_length = -1;
  return event;
}

// --- ends

CodecEvent Http1Session::fatal(const char* why) {
  end_connection();
  CodecEvent event;
  event.kind = Kind::kFatal;
  event.error = Http2Error::kProtocolError;
  event.reason = why;
  return event;
}

// What the peer sends makes no sense.
CodecEvent Http1Session::broken(const char* why, Defence defence) {
  if (role_ == Role::kServer && !discarding_ && writing_ == Writing::kHead) write_refusal(400);
  CodecEvent event = lost(Http2Error::kProtocolError, why);
  event.defence = defence;
  return event;
}

// Nothing more can come for the stream, and the connection ends with it.
CodecEvent Http1Session::lost(Http2Error error, const char* why) {
  discarding_ = false;
  end_connection();
  if (stream_ == nullptr) return none();
  if (role_ == Role::kServer && writing_ == Writing::kBody && framing_ == BodyFraming::kUntilEnd) {
    abort_ = true;
  }
  CodecEvent event = event_of_stream(Kind::kReset);
  event.error = error;
  event.reason = why;
  drop_stream();
  return event;
}

void Http1Session::end_connection() {
  persistent_ = false;
  reading_ = Reading::kOver;
  scanned_ = 0;
}

void Http1Session::drop_stream() {
  stream_->attached = false;
  stream_ = nullptr;
  unconsumed_ = 0;
  held_back_ = writable_due_ = h2c_offered_ = false;
  upgrade_ = Upgrade::kNone;
  writing_ = Writing::kHead;
}

void Http1Session::next_message() {
  drop_stream();
  reading_ = persistent_ ? Reading::kHead : Reading::kOver;
}

void Http1Session::close_remote() {
  stream_->remote_closed = true;
  reading_ = Reading::kWaiting;
  if (stream_->local_closed) next_message();
}

void Http1Session::close_local(CodecStream& stream) {
  stream.local_closed = true;
  if (stream.remote_closed) next_message();
}

void Http1Session::consumed(CodecStream& stream, size_t bytes) {
  if (&stream == stream_) unconsumed_ -= std::min(bytes, unconsumed_);
}

void Http1Session::reset(CodecStream& stream, Http2Error error) {
  if (&stream != stream_) return;
  const bool in_body =
      reading_ == Reading::kLength || reading_ == Reading::kChunks || reading_ == Reading::kTrailers;
  const bool short_body = reading_ != Reading::kLength || body_left_ <= settings_.stream_window;
  // The response is complete. A client that got no 100 will not send its body now; from any other it is on
  // its way.
  if (role_ == Role::kServer && error == Http2Error::kNoError && stream.local_closed && in_body &&
      short_body && !expect_continue_ && !body_given_up_) {
    discarding_ = true;
    discard_left_ = settings_.stream_window;
    drop_stream();
    return;
  }
  detach(stream);
}

void Http1Session::detach(CodecStream& stream) {
  if (&stream != stream_) return;
  if (role_ == Role::kServer && writing_ == Writing::kBody && framing_ == BodyFraming::kUntilEnd &&
      !stream.local_closed) {
    abort_ = true;
  }
  end_connection();
  drop_stream();
}

void Http1Session::goaway(Http2Error /*error*/, std::string_view /*debug*/) {
  goaway_sent_ = true;
  persistent_ = false;
  if (stream_ == nullptr && !discarding_) end_connection();
}

}  // namespace sluice::l7
