#include "dataplane/l7/http2_session.h"

#include <algorithm>
#include <cstring>

namespace sluice::l7 {
namespace {

using Kind = CodecEvent::Kind;

// What useful frames buy off of Http2Settings::abuse_limit.
constexpr int32_t kFinishedStream = 5;
constexpr int32_t kDataFrame = 2;

// A header block in more pieces than this is an attack: sixteen frames of the smallest maximum size hold more
// than any limit lets through.
constexpr uint16_t kMaxContinuations = 16;
// Answers, beyond Http2Settings::output_limit, that wait for a peer which does not read them.
constexpr size_t kMaxWaitingAnswers = 1 << 20;
// A compressed block is not larger than what it stands for, but for representations that nobody writes.
constexpr size_t kBlockSlack = 4096;

CodecEvent none() {
  return {};
}

}  // namespace

Http2Session::Http2Session(Role role, const Http2Settings& settings, ByteQueue& output, HeaderList& scratch)
    : settings_(settings),
      output_(output),
      scratch_(scratch),
      role_(role),
      preface_seen_(role == Role::kClient) {}

size_t Http2Session::capacity() const {
  return streams_.capacity() + decoder_.capacity() + (block_ ? block_->capacity() + sizeof(*block_) : 0);
}

// --- what goes wrong

CodecEvent Http2Session::fatal(Http2Error error, const char* reason) {
  if (!fatal_) goaway(error, reason);
  fatal_ = true;
  CodecEvent event;
  event.kind = Kind::kFatal;
  event.error = error;
  event.reason = reason;
  return event;
}

CodecEvent Http2Session::calm(Defence defence, Http2Error error) {
  CodecEvent event = fatal(error, text_of(defence).words.data());
  event.defence = defence;
  return event;
}

CodecEvent Http2Session::stream_error(uint32_t id, Http2Error error, const char* reason) {
  // A peer that makes this side reset its streams gets as much work for nothing out of the site behind as one
  // that resets them itself ("MadeYouReset", CVE-2025-8671).
  if (cancelled() || answers_pile_up()) return calm(Defence::kMadeYouReset);
  write_rst_stream(id, error);
  CodecStream* stream = streams_.find(id);
  if (stream == nullptr) return none();
  detach(*stream);
  CodecEvent event;
  event.kind = Kind::kReset;
  event.error = error;
  event.reason = reason;
  event.stream = stream;
  event.stream_id = id;
  return event;
}

CodecEvent Http2Session::malformed(uint32_t id, const char* reason) {
  return settings_.malformed_ends_connection ? fatal(Http2Error::kProtocolError, reason)
                                             : stream_error(id, Http2Error::kProtocolError, reason);
}

bool Http2Session::abused(int32_t cost) {
  abuse_ += cost;
  return abuse_ > settings_.abuse_limit;
}

bool Http2Session::cancelled() {
  ++cancelled_;
  return cancelled_ > settings_.cancel_limit;
}

bool Http2Session::answers_pile_up() const {
  return output_.size() > settings_.output_limit + kMaxWaitingAnswers;
}

void Http2Session::credit(int32_t worth) {
  abuse_ = std::max(abuse_ - worth, 0);
}

void Http2Session::credit_data_frame() {
  credit(kDataFrame);
}

void Http2Session::finished() {
  credit(kFinishedStream);
  cancelled_ = std::max(cancelled_ - 1, 0);
}

void Http2Session::forgive(int32_t frames, int32_t streams) {
  abuse_ = std::max(abuse_ - frames, 0);
  cancelled_ = std::max(cancelled_ - streams, 0);
}

bool Http2Session::is_idle(uint32_t id) const {
  return is_ours(id) ? id >= next_local_ : id > highest_remote_;
}

// --- reading

CodecEvent Http2Session::next(std::span<const uint8_t>& input) {
  if (!preface_seen_ && !fatal_) {
    if (input.empty()) return none();
    const size_t compared = std::min(input.size(), kClientPreface.size());
    if (std::memcmp(input.data(), kClientPreface.data(), compared) != 0) {
      return fatal(Http2Error::kProtocolError, "the connection does not begin with the HTTP/2 preface");
    }
    if (compared < kClientPreface.size()) return none();
    input = input.subspan(kClientPreface.size());
    preface_seen_ = true;
  }
  while (!fatal_) {
    if (data_left_ != 0 || padding_left_ != 0) {
      if (input.empty()) return none();
      const CodecEvent event = on_data_bytes(input);
      if (event.kind != Kind::kNone) return event;
      continue;
    }
    if (input.size() < kFrameHeaderBytes) return none();
    const FrameHeader header = read_frame_header(input.data());
    if (header.length > settings_.max_frame_size) {
      return fatal(Http2Error::kFrameSizeError, "frame larger than SETTINGS_MAX_FRAME_SIZE");
    }
    if (block_stream_ != 0 && (header.type != FrameType::kContinuation || header.stream != block_stream_)) {
      return fatal(Http2Error::kProtocolError, "header block interrupted by another frame");
    }
    if (!settings_seen_ && (header.type != FrameType::kSettings || (header.flags & frame_flag::kAck) != 0)) {
      return fatal(Http2Error::kProtocolError, "first frame is not SETTINGS");
    }
    CodecEvent event;
    if (header.type == FrameType::kData) {
      const bool padded = (header.flags & frame_flag::kPadded) != 0;
      if (padded && header.length != 0 && input.size() == kFrameHeaderBytes) return none();
      event = on_data_begin(header, input);
    } else {
      if (input.size() < kFrameHeaderBytes + header.length) return none();
      const Received frame{header, input.data() + kFrameHeaderBytes};
      event = on_frame(frame);
      input = input.subspan(kFrameHeaderBytes + header.length);
    }
    if (event.kind != Kind::kNone) return event;
  }
  input = {};
  return none();
}

CodecEvent Http2Session::on_frame(const Received& frame) {
  switch (frame.header.type) {
    case FrameType::kHeaders:
      return on_headers(frame);
    case FrameType::kContinuation:
      return on_continuation(frame);
    case FrameType::kRstStream:
      return on_rst_stream(frame);
    case FrameType::kSettings:
      return on_settings(frame);
    case FrameType::kPing:
      return on_ping(frame);
    case FrameType::kGoAway:
      return on_goaway(frame);
    case FrameType::kWindowUpdate:
      return on_window_update(frame);
    case FrameType::kPushPromise:
      return calm(Defence::kPush, Http2Error::kProtocolError);
    case FrameType::kPriority:
      if (frame.header.stream == 0) return fatal(Http2Error::kProtocolError, "PRIORITY on stream 0");
      if (frame.header.length != 5) {
        if (is_idle(frame.header.stream))
          return fatal(Http2Error::kFrameSizeError, "PRIORITY of a wrong size");
        return stream_error(frame.header.stream, Http2Error::kFrameSizeError, "PRIORITY of a wrong size");
      }
      break;
    default:
      break;  // RFC 9113 section 4.1: unknown types are ignored
  }
  if (abused(kUselessFrame)) return calm(Defence::kUseless);
  return none();
}

CodecEvent Http2Session::on_data_begin(const FrameHeader& header, std::span<const uint8_t>& input) {
  if (header.stream == 0) return fatal(Http2Error::kProtocolError, "DATA on stream 0");
  uint32_t data = header.length;
  uint32_t padding = 0;
  if ((header.flags & frame_flag::kPadded) != 0) {
    if (header.length == 0) return fatal(Http2Error::kFrameSizeError, "padded DATA without a padding length");
    padding = input[kFrameHeaderBytes];
    if (padding >= header.length) return fatal(Http2Error::kProtocolError, "padding larger than the frame");
    data = header.length - 1 - padding;
    input = input.subspan(1);
  }
  input = input.subspan(kFrameHeaderBytes);

  // The connection's window is given back at once: what a stream holds is bounded by its own window, and a
  // slow stream must not slow the others.
  const auto length = static_cast<int32_t>(header.length);
  receive_window_ -= length;
  if (receive_window_ < 0)
    return fatal(Http2Error::kFlowControlError, "more DATA than the connection's window");
  unannounced_ += header.length;
  if (!withhold_window_) give_back_window();

  data_left_ = data;
  padding_left_ = padding;
  data_stream_ = 0;  // until all is checked, the bytes are to be skipped
  data_end_stream_ = (header.flags & frame_flag::kEndStream) != 0;
  const bool useless = data == 0 && !data_end_stream_;
  CodecStream* stream = streams_.find(header.stream);
  if (stream == nullptr) {
    if (is_idle(header.stream)) return fatal(Http2Error::kProtocolError, "DATA on an idle stream");
    // Probably on its way when the stream was reset.
    if (useless && abused(kUselessFrame)) return calm(Defence::kEmptyData);
    return none();
  }
  if (stream->remote_closed)
    return stream_error(header.stream, Http2Error::kStreamClosed, "DATA behind the end of the stream");
  if (!stream->head_seen) return malformed(header.stream, "DATA before HEADERS");
  stream->receive_window -= length;
  if (length != 0 && stream->receive_window < -unacknowledged_window()) {
    return stream_error(header.stream, Http2Error::kFlowControlError, "more DATA than the stream's window");
  }
  if (stream->bodyless && data != 0) {
    return malformed(header.stream, "a body where there can be none");
  }
  if (stream->body_left >= 0) {
    stream->body_left -= data;
    if (stream->body_left < 0 || (data_end_stream_ && stream->body_left != 0)) {
      return malformed(header.stream, "body and content-length differ");
    }
  }
  if (useless) {
    if (abused(kUselessFrame)) return calm(Defence::kEmptyData);
  } else {
    credit_data_frame();
  }
  consumed(*stream, header.length - data);
  data_stream_ = header.stream;
  return data == 0 ? on_data_bytes(input) : none();
}

CodecEvent Http2Session::on_data_bytes(std::span<const uint8_t>& input) {
  const size_t size = std::min<size_t>(input.size(), data_left_);
  const auto bytes = input.first(size);
  data_left_ -= static_cast<uint32_t>(size);
  input = input.subspan(size);
  const bool all = data_left_ == 0;
  if (all) {
    const size_t padding = std::min<size_t>(input.size(), padding_left_);
    padding_left_ -= static_cast<uint32_t>(padding);
    input = input.subspan(padding);
  }
  CodecStream* stream = data_stream_ == 0 ? nullptr : streams_.find(data_stream_);
  if (all) data_stream_ = 0;
  if (stream == nullptr || (bytes.empty() && !(all && data_end_stream_))) return none();
  CodecEvent event;
  event.kind = Kind::kData;
  event.stream = stream;
  event.stream_id = stream->id;
  event.data = bytes;
  event.end_stream = all && data_end_stream_;
  if (event.end_stream) close_remote(*stream);
  return event;
}

CodecEvent Http2Session::on_headers(const Received& frame) {
  const uint32_t id = frame.header.stream;
  if (id == 0) return fatal(Http2Error::kProtocolError, "HEADERS on stream 0");
  if (role_ == Role::kServer && (id & 1) == 0)
    return fatal(Http2Error::kProtocolError, "HEADERS on an even stream");
  const bool padded = (frame.header.flags & frame_flag::kPadded) != 0;
  const size_t before_block =
      (padded ? 1u : 0u) + ((frame.header.flags & frame_flag::kPriority) != 0 ? 5u : 0u);
  if (frame.header.length < before_block)
    return fatal(Http2Error::kFrameSizeError, "HEADERS too short for its fields");
  std::span<const uint8_t> block(frame.payload + before_block, frame.header.length - before_block);
  if (padded) {
    const size_t padding = frame.payload[0];
    if (padding > block.size()) return fatal(Http2Error::kProtocolError, "padding larger than the frame");
    block = block.first(block.size() - padding);
  }
  block_stream_ = id;
  block_end_stream_ = (frame.header.flags & frame_flag::kEndStream) != 0;
  continuations_ = 0;
  if ((frame.header.flags & frame_flag::kEndHeaders) != 0) return on_header_block(block);
  block_ = std::make_unique<std::vector<uint8_t>>(block.begin(), block.end());
  return none();
}

CodecEvent Http2Session::on_continuation(const Received& frame) {
  if (block_stream_ == 0) return fatal(Http2Error::kProtocolError, "CONTINUATION without HEADERS");
  if (++continuations_ > kMaxContinuations) return calm(Defence::kContinuations);
  if (block_->size() + frame.header.length > settings_.headers.list_size + kBlockSlack) {
    return calm(Defence::kHeaderBlock);
  }
  block_->insert(block_->end(), frame.payload, frame.payload + frame.header.length);
  if ((frame.header.flags & frame_flag::kEndHeaders) == 0) return none();
  const auto block = std::move(block_);
  return on_header_block(*block);
}

CodecEvent Http2Session::on_header_block(std::span<const uint8_t> block) {
  const uint32_t id = block_stream_;
  block_stream_ = 0;
  scratch_.clear();
  const HpackError error = decoder_.decode(block, scratch_, settings_.headers);
  const bool too_large = error == HpackError::kTooLarge;
  if (error != HpackError::kNone && !too_large)
    return fatal(Http2Error::kCompressionError, text_of(error).data());

  CodecStream* stream = streams_.find(id);
  if (role_ == Role::kServer && id > highest_remote_) {
    highest_remote_ = id;
    if (goaway_sent_) {
      // Its number is above the one that GOAWAY named: the client tries elsewhere.
      if (abused(kUselessFrame)) return calm(Defence::kBehindGoaway);
      return none();
    }
    if (streams_.size() >= settings_.max_concurrent_streams || answers_pile_up()) {
      // It cost nobody anything; the client may not have seen SETTINGS yet.
      if (abused(kUselessFrame)) return calm(Defence::kRefusedStreams);
      write_rst_stream(id, Http2Error::kRefusedStream);
      return none();
    }
    CodecEvent event = on_request(block_end_stream_);
    event.stream_id = id;
    if (too_large) {
      event.error = Http2Error::kEnhanceYourCalm;
      event.defence = Defence::kLargeHeaders;
      event.head.error = text_of(HpackError::kTooLarge).data();
    }
    if (event.head.error != nullptr && !too_large && settings_.malformed_ends_connection)
      return fatal(Http2Error::kProtocolError, event.head.error);
    if (event.head.error != nullptr && cancelled()) return calm(Defence::kMalformed);
    return event;
  }
  if (stream == nullptr) {
    if (is_idle(id)) return fatal(Http2Error::kProtocolError, "HEADERS on an idle stream");
    // Trailers may have been on their way when the stream was reset. A request cannot (section 5.1.1).
    if (role_ == Role::kServer && !scratch_.empty() && is_pseudo(scratch_.fields().front().token))
      return fatal(Http2Error::kProtocolError, "request on a stream that has been used");
    if (abused(kUselessFrame)) return calm(Defence::kClosedStreams);
    return none();
  }
  if (stream->remote_closed)
    return stream_error(id, Http2Error::kStreamClosed, "HEADERS behind the end of the stream");
  if (too_large) {
    CodecEvent event = stream_error(id, Http2Error::kEnhanceYourCalm, text_of(HpackError::kTooLarge).data());
    if (event.defence == Defence::kNone) event.defence = Defence::kLargeHeaders;
    return event;
  }
  return on_message(*stream, block_end_stream_);
}

CodecEvent Http2Session::on_request(bool end_stream) {
  CodecEvent event;
  event.kind = Kind::kHead;
  event.end_stream = end_stream;
  event.head = check_request(scratch_);
  if (event.head.error == nullptr && end_stream && event.head.content_length > 0) {
    event.head.error = "body and content-length differ";
  }
  if (event.head.connect && !settings_.extended_connect && scratch_.find(HeaderToken::kProtocol) != nullptr) {
    event.head.error = ":protocol without SETTINGS_ENABLE_CONNECT_PROTOCOL";
  }
  if (event.head.error != nullptr) event.error = Http2Error::kProtocolError;
  accept_end_stream_ = end_stream;
  accept_tunnel_ = event.head.connect;
  accept_content_length_ = end_stream || event.head.connect ? -1 : event.head.content_length;
  return event;
}

// A response's head or informational head, or trailers of either side.
CodecEvent Http2Session::on_message(CodecStream& stream, bool end_stream) {
  CodecEvent event;
  event.stream = &stream;
  event.stream_id = stream.id;
  event.end_stream = end_stream;
  if (stream.head_seen) {
    if (stream.tunnel) return malformed(stream.id, "HEADERS inside of a tunnel");
    if (!end_stream) return malformed(stream.id, "trailers without END_STREAM");
    if (const char* error = check_trailers(scratch_)) return malformed(stream.id, error);
    if (stream.body_left > 0) return malformed(stream.id, "body and content-length differ");
    event.kind = Kind::kTrailers;
  } else {
    event.head = check_response(scratch_);
    if (event.head.error != nullptr) return malformed(stream.id, event.head.error);
    if (event.head.status < 200) {
      if (end_stream) return malformed(stream.id, "informational response that ends the stream");
      if (abused(kUselessFrame)) return calm(Defence::kInformational);
      event.kind = Kind::kInformational;
      return event;
    }
    event.kind = Kind::kHead;
    stream.head_seen = true;
    stream.bodyless = stream.bodyless || event.head.status == 204 || event.head.status == 304;
    // What a proxy answers to CONNECT is a tunnel if it is a success (RFC 9113 section 8.5); its
    // content-length means nothing then (RFC 9110 section 9.3.6).
    stream.tunnel = stream.tunnel && event.head.status < 300;
    stream.body_left = stream.bodyless || stream.tunnel ? -1 : event.head.content_length;
    if (end_stream && stream.body_left > 0) {
      return malformed(stream.id, "body and content-length differ");
    }
  }
  if (end_stream) close_remote(stream);
  return event;
}

}  // namespace sluice::l7
