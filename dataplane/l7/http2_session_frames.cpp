// Frames that carry no message: RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE.
#include <algorithm>
#include <cstring>

#include "dataplane/l7/http2_session.h"

namespace sluice::l7 {
namespace {

using Kind = CodecEvent::Kind;

// Opening a shut window by a few bytes makes this side send frames that are mostly header (CVE-2019-9511,
// "data dribble"). It costs more than the DATA frame that follows buys off.
constexpr uint32_t kTinyIncrement = 64;
constexpr int32_t kTinyOpening = 4;
// A SETTINGS frame of the smallest maximum size has room for 2 730 entries, each of which may touch all
// streams.
constexpr uint32_t kEntriesPerUselessFrame = 32;

CodecEvent none() {
  return {};
}

}  // namespace

CodecEvent Http2Session::on_rst_stream(const Received& frame) {
  if (frame.header.stream == 0) return fatal(Http2Error::kProtocolError, "RST_STREAM on stream 0");
  if (frame.header.length != 4) return fatal(Http2Error::kFrameSizeError, "RST_STREAM of a wrong size");
  if (is_idle(frame.header.stream)) return fatal(Http2Error::kProtocolError, "RST_STREAM on an idle stream");
  CodecStream* stream = streams_.find(frame.header.stream);
  if (role_ == Role::kClient && stream != nullptr && stream->remote_closed) {
    // The response is whole and must not be lost; the server does not want the rest of the request
    // (section 8.1).
    detach(*stream);
    finished();
    return none();
  }
  // A client that opens and cancels costs the site behind it work: rapid reset, CVE-2023-44487.
  if (stream == nullptr) return abused(kUselessFrame) ? calm(Defence::kResetFlood) : none();
  if (cancelled()) return calm(Defence::kRapidReset);
  detach(*stream);
  CodecEvent event;
  event.kind = Kind::kReset;
  event.stream = stream;
  event.stream_id = stream->id;
  event.error = static_cast<Http2Error>(read32(frame.payload));
  return event;
}

const char* Http2Session::apply_setting(uint16_t id, uint32_t value, Http2Error& error) {
  error = Http2Error::kProtocolError;
  switch (id) {
    case setting::kHeaderTableSize:
      if (value < 4096) shrink_peer_table_ = true;
      return nullptr;
    case setting::kEnablePush:
      return value > 1 || (value == 1 && role_ == Role::kClient) ? "SETTINGS_ENABLE_PUSH out of range"
                                                                 : nullptr;
    case setting::kMaxConcurrentStreams:
      peer_max_streams_ = value;
      return nullptr;
    case setting::kInitialWindowSize: {
      error = Http2Error::kFlowControlError;
      if (value > kMaxWindow) return "SETTINGS_INITIAL_WINDOW_SIZE out of range";
      const int64_t change = static_cast<int64_t>(value) - peer_window_;
      peer_window_ = value;
      bool overflow = false;
      streams_.for_each([&](CodecStream& stream) {
        const int64_t window = stream.send_window + change;
        overflow |= window > kMaxWindow;
        stream.send_window = static_cast<int32_t>(std::min<int64_t>(window, kMaxWindow));
        if (stream.blocked) note_blocked(stream);
      });
      return overflow ? "SETTINGS_INITIAL_WINDOW_SIZE makes a window too large" : nullptr;
    }
    case setting::kMaxFrameSize:
      if (value < kMinMaxFrameSize || value > kMaxMaxFrameSize) return "SETTINGS_MAX_FRAME_SIZE out of range";
      peer_max_frame_ = value;
      return nullptr;
    case setting::kEnableConnectProtocol:
      if (value > 1) return "SETTINGS_ENABLE_CONNECT_PROTOCOL out of range";
      peer_extended_connect_ = value == 1;
      return nullptr;
    default:
      return nullptr;  // SETTINGS_MAX_HEADER_LIST_SIZE is advice; unknown ones are ignored
  }
}

CodecEvent Http2Session::on_settings(const Received& frame) {
  if (frame.header.stream != 0) return fatal(Http2Error::kProtocolError, "SETTINGS on a stream");
  if ((frame.header.flags & frame_flag::kAck) != 0) {
    if (frame.header.length != 0)
      return fatal(Http2Error::kFrameSizeError, "acknowledgement of SETTINGS with a payload");
    if (settings_acknowledged_ && abused(kUselessFrame)) return calm(Defence::kSettingsAck);
    settings_acknowledged_ = true;
    return none();
  }
  if (frame.header.length % 6 != 0) return fatal(Http2Error::kFrameSizeError, "SETTINGS of a wrong size");
  if (!settings_seen_) peer_max_streams_ = UINT32_MAX;  // what SETTINGS do not limit has no limit
  settings_seen_ = true;
  const auto entries = static_cast<int32_t>(frame.header.length / 6 / kEntriesPerUselessFrame);
  if (abused(kUselessFrame + entries) || answers_pile_up()) return calm(Defence::kSettings);
  for (uint32_t at = 0; at < frame.header.length; at += 6) {
    Http2Error error = Http2Error::kNoError;
    const char* problem = apply_setting(read16(frame.payload + at), read32(frame.payload + at + 2), error);
    if (problem != nullptr) return fatal(error, problem);
  }
  write_frame_header({0, FrameType::kSettings, frame_flag::kAck, 0}, output_.reserve(kFrameHeaderBytes));
  output_.commit(kFrameHeaderBytes);
  CodecEvent event;
  event.kind = Kind::kSettings;
  return event;
}

bool Http2Session::start_upgraded(std::span<const uint8_t> payload, bool end_stream) {
  if (payload.size() % 6 != 0) return false;
  for (size_t at = 0; at < payload.size(); at += 6) {
    Http2Error error = Http2Error::kNoError;
    if (apply_setting(read16(payload.data() + at), read32(payload.data() + at + 2), error) != nullptr)
      return false;
  }
  start();
  highest_remote_ = 1;
  accept_end_stream_ = end_stream;
  accept_tunnel_ = false;
  accept_content_length_ = -1;
  return true;
}

CodecEvent Http2Session::on_ping(const Received& frame) {
  if (frame.header.stream != 0) return fatal(Http2Error::kProtocolError, "PING on a stream");
  if (frame.header.length != 8) return fatal(Http2Error::kFrameSizeError, "PING of a wrong size");
  if ((frame.header.flags & frame_flag::kAck) != 0) {
    if (pings_sent_ == 0) {
      if (abused(kUselessFrame)) return calm(Defence::kPong);
      return none();
    }
    --pings_sent_;
    CodecEvent event;
    event.kind = Kind::kPong;
    return event;
  }
  if (abused(kUselessFrame) || answers_pile_up()) return calm(Defence::kPing);
  uint8_t* at = output_.reserve(kFrameHeaderBytes + 8);
  std::memcpy(write_frame_header({8, FrameType::kPing, frame_flag::kAck, 0}, at), frame.payload, 8);
  output_.commit(kFrameHeaderBytes + 8);
  return none();
}

CodecEvent Http2Session::on_goaway(const Received& frame) {
  if (frame.header.stream != 0) return fatal(Http2Error::kProtocolError, "GOAWAY on a stream");
  if (frame.header.length < 8) return fatal(Http2Error::kFrameSizeError, "GOAWAY of a wrong size");
  const uint32_t last = read32(frame.payload) & kMaxStreamId;
  if (goaway_received_ && last > peer_last_accepted_)
    return fatal(Http2Error::kProtocolError, "GOAWAY that names more streams than the one before");
  if (abused(kUselessFrame)) return calm(Defence::kGoaway);
  goaway_received_ = true;
  peer_last_accepted_ = last;
  CodecEvent event;
  event.kind = Kind::kGoAway;
  event.stream_id = last;
  event.error = static_cast<Http2Error>(read32(frame.payload + 4));
  return event;
}

CodecEvent Http2Session::on_window_update(const Received& frame) {
  const uint32_t id = frame.header.stream;
  if (frame.header.length != 4) return fatal(Http2Error::kFrameSizeError, "WINDOW_UPDATE of a wrong size");
  const uint32_t increment = read32(frame.payload) & kMaxWindow;
  CodecStream* stream = id == 0 ? nullptr : streams_.find(id);
  const bool opening = id == 0 ? send_window_ <= 0 : stream != nullptr && stream->blocked;
  if (abused(opening && increment < kTinyIncrement ? kTinyOpening : kUselessFrame))
    return calm(Defence::kWindowUpdate);
  CodecEvent event;
  event.kind = Kind::kWritable;
  event.stream_id = id;
  if (id == 0) {
    if (increment == 0) return fatal(Http2Error::kProtocolError, "WINDOW_UPDATE of zero");
    if (static_cast<int64_t>(send_window_) + increment > kMaxWindow) {
      return fatal(Http2Error::kFlowControlError, "WINDOW_UPDATE beyond the largest window");
    }
    send_window_ += static_cast<int32_t>(increment);
    return opening && send_window_ > 0 ? event : none();
  }
  if (is_idle(id)) return fatal(Http2Error::kProtocolError, "WINDOW_UPDATE on an idle stream");
  if (stream == nullptr) return none();
  if (increment == 0) return stream_error(id, Http2Error::kProtocolError, "WINDOW_UPDATE of zero");
  if (static_cast<int64_t>(stream->send_window) + increment > kMaxWindow) {
    return stream_error(id, Http2Error::kFlowControlError, "WINDOW_UPDATE beyond the largest window");
  }
  stream->send_window += static_cast<int32_t>(increment);
  event.stream = stream;
  return opening && stream->send_window > 0 ? event : none();
}

}  // namespace sluice::l7
