// What Http1Session writes: heads, bodies, trailers.
#include "dataplane/l7/http1_session.h"

namespace sluice::l7 {
namespace {

using enum HeaderToken;

// RFC 9110 section 8.6: methods whose requests say "content-length: 0" if they have no body.
bool anticipates_body(std::string_view method) {
  return method == "POST" || method == "PUT" || method == "PATCH";
}

uint16_t status_of(const HeaderList& fields) {
  const std::string_view text = fields.get(kStatus);
  uint16_t status = 0;
  for (const char c : text) status = static_cast<uint16_t>(status * 10 + (c - '0'));
  return status;
}

uint64_t length_of(const HeaderList& fields) {
  return static_cast<uint64_t>(parse_content_length(fields.get(kContentLength)).value_or(0));
}

void append(std::string_view text, ByteQueue& output) {
  output.append({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

}  // namespace

void Http1Session::refuse(uint32_t /*id*/, Http2Error /*error*/) {
  write_refusal(refusal_ == 0 ? uint16_t{503} : refusal_);
  end_connection();
}

bool Http1Session::time_out_head() {
  if (role_ != Role::kServer || reading_ != Reading::kHead || stream_ != nullptr) return false;
  write_refusal(408);
  end_connection();
  return true;
}

void Http1Session::write_refusal(uint16_t status) {
  static const HeaderList no_fields;
  write_response_head(no_fields, status, BodyFraming::kEmpty, ConnectionOption::kClose, nullptr, output_);
}

void Http1Session::switch_to_h2c() {
  append("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n", output_);
  end_connection();
}

void Http1Session::open(CodecStream& stream, void* owner, const HeaderList& fields, bool end_stream,
                        bool bodyless) {
  stream.clear();
  stream.id = ++last_id_;
  stream.owner = owner;
  stream.attached = true;
  stream.bodyless = bodyless;
  stream.local_closed = end_stream;
  stream_ = &stream;
  informational_ = 0;
  upgrade_ = Upgrade::kNone;
  writing_ = Writing::kBody;
  WebSocketKey key{};
  const std::string_view method = fields.get(kMethod);
  if (method == "CONNECT") {
    const std::string_view protocol = fields.get(kProtocol);
    upgrade_ = protocol.empty() ? Upgrade::kConnect : Upgrade::kOther;
    if (protocol == "websocket") {
      upgrade_ = Upgrade::kWebSocket;
      key = make_websocket_key();
      websocket_accept_ = websocket_accept({key.data(), key.size()});
    }
    framing_ = BodyFraming::kTunnel;
    writing_ = Writing::kHeld;
  } else if (end_stream) {
    framing_ = anticipates_body(method) ? BodyFraming::kEmpty : BodyFraming::kNone;
  } else if (fields.find(kContentLength) != nullptr) {
    framing_ = BodyFraming::kLength;
    write_left_ = length_of(fields);
  } else {
    framing_ = BodyFraming::kChunked;
  }
  write_request_head(fields, framing_, key, output_);
}

void Http1Session::send_headers(CodecStream& stream, const HeaderList& fields, bool end_stream) {
  if (&stream != stream_ || stream.local_closed) return;
  if (role_ == Role::kServer && writing_ == Writing::kHead) {
    const uint16_t status = status_of(fields);
    if (status >= 200) {
      send_final_head(stream, fields, status, end_stream);
    } else if (!version_1_0_ && status != 101) {
      if (status == 100) expect_continue_ = false;
      write_response_head(fields, status, BodyFraming::kNever, ConnectionOption::kNone, nullptr, output_);
    }
    return;
  }
  if (!end_stream) return;  // only trailers can follow a head
  if (framing_ == BodyFraming::kChunked) write_last_chunk(&fields, output_);
  end_body(stream);
}

BodyFraming Http1Session::framing_of_response(const HeaderList& fields, uint16_t status,
                                              bool end_stream) const {
  if (upgrade_ != Upgrade::kNone && status < 300) return BodyFraming::kTunnel;
  if (status == 204) return BodyFraming::kNever;
  if (head_request_ || status == 304) return BodyFraming::kNone;
  if (fields.find(kContentLength) != nullptr) return BodyFraming::kLength;
  if (end_stream) return BodyFraming::kEmpty;
  return version_1_0_ ? BodyFraming::kUntilEnd : BodyFraming::kChunked;
}

void Http1Session::send_final_head(CodecStream& stream, const HeaderList& fields, uint16_t status,
                                   bool end_stream) {
  writing_ = Writing::kBody;
  framing_ = framing_of_response(fields, status, end_stream);
  const bool tunnel = framing_ == BodyFraming::kTunnel;
  // A client that waits for 100 in vain sends its body or does not: the bytes that follow could be either, a
  // body or a request. Behind a CONNECT that is refused they could be what was meant for the tunnel.
  const bool ambiguous = expect_continue_ || upgrade_ == Upgrade::kConnect;
  if (last_response_ || ambiguous || framing_ == BodyFraming::kUntilEnd || tunnel) persistent_ = false;
  ConnectionOption option = ConnectionOption::kNone;
  if (!persistent_ && !tunnel) {
    option = ConnectionOption::kClose;
  } else if (version_1_0_ && !tunnel) {
    option = ConnectionOption::kKeepAlive;
  }
  const bool websocket = tunnel && upgrade_ == Upgrade::kWebSocket;
  write_response_head(fields, status, framing_, option, websocket ? &websocket_accept_ : nullptr, output_);
  if (framing_ == BodyFraming::kLength) write_left_ = length_of(fields);
  if (tunnel) {
    reading_ = Reading::kTunnel;
    held_back_ = false;
  } else if (upgrade_ != Upgrade::kNone) {
    upgrade_ = Upgrade::kNone;
    stream.remote_closed = true;  // there is no tunnel, so that was all of the request
  }
  if (end_stream) end_body(stream);
}

bool Http1Session::can_send(const CodecStream& stream) const {
  return &stream == stream_ && !stream.local_closed && writing_ == Writing::kBody &&
         output_.size() < settings_.output_limit;
}

size_t Http1Session::send_data(CodecStream& stream, std::span<const uint8_t> data, bool end_stream) {
  stream.blocked = false;
  if (&stream != stream_ || stream.local_closed) return data.size();  // nobody wants it any more
  if (writing_ != Writing::kBody) {
    stream.blocked = true;
    return 0;
  }
  const size_t room = settings_.output_limit - std::min(output_.size(), settings_.output_limit);
  const size_t taken = std::min(data.size(), room);
  if (taken != 0) write_piece(data.first(taken));
  stream.blocked = taken < data.size();
  if (end_stream && !stream.blocked) {
    if (framing_ == BodyFraming::kChunked) write_last_chunk(nullptr, output_);
    end_body(stream);
  }
  return taken;
}

void Http1Session::write_piece(std::span<const uint8_t> data) {
  switch (framing_) {
    case BodyFraming::kNone:
    case BodyFraming::kNever:
    case BodyFraming::kEmpty:
      return;
    case BodyFraming::kLength:
      // What is beyond would be read as the next message.
      if (data.size() > write_left_) {
        persistent_ = false;
        data = data.first(static_cast<size_t>(write_left_));
      }
      write_left_ -= data.size();
      break;
    case BodyFraming::kChunked: {
      uint8_t* const at = output_.reserve(kMaxChunkLine);
      output_.commit(static_cast<size_t>(write_chunk_size(data.size(), at) - at));
      output_.append(data);
      append("\r\n", output_);
      return;
    }
    case BodyFraming::kUntilEnd:
    case BodyFraming::kTunnel:
      break;
  }
  output_.append(data);
}

// This side's end of the message.
void Http1Session::end_body(CodecStream& stream) {
  if (framing_ == BodyFraming::kLength && write_left_ != 0) persistent_ = false;  // less than was promised
  if (framing_ == BodyFraming::kTunnel && writing_ == Writing::kBody) end_of_output_ = true;
  close_local(stream);
}

}  // namespace sluice::l7
