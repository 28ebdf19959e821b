// What an HTTP/2 session writes.
#include <algorithm>
#include <cstring>

#include "dataplane/l7/http2_session.h"

namespace sluice::l7 {
namespace {

// Behind a head of its own a DATA frame this short is not worth a new chunk.
constexpr size_t kShortPiece = 1024;

}  // namespace

void Http2Session::start() {
  if (role_ == Role::kClient) {
    output_.append({reinterpret_cast<const uint8_t*>(kClientPreface.data()), kClientPreface.size()});
  }
  write_settings();
  write_window_update(0, connection_window() - kDefaultWindow);
  receive_window_ = static_cast<int32_t>(connection_window());
}

void Http2Session::write_settings() {
  constexpr size_t kEntry = 6;
  uint8_t* const from = output_.reserve(kFrameHeaderBytes + 6 * kEntry);
  uint8_t* at = from + kFrameHeaderBytes;
  const auto entry = [&at](uint16_t id, uint32_t value) { at = write32(value, write16(id, at)); };
  if (role_ == Role::kClient) {
    entry(setting::kEnablePush, 0);
  } else {
    entry(setting::kMaxConcurrentStreams, settings_.max_concurrent_streams);
    if (settings_.extended_connect) entry(setting::kEnableConnectProtocol, 1);
  }
  entry(setting::kInitialWindowSize, settings_.stream_window);
  if (settings_.max_frame_size != kMinMaxFrameSize) entry(setting::kMaxFrameSize, settings_.max_frame_size);
  entry(setting::kMaxHeaderListSize, static_cast<uint32_t>(settings_.headers.list_size));
  const auto length = static_cast<uint32_t>(at - from - static_cast<ptrdiff_t>(kFrameHeaderBytes));
  write_frame_header({length, FrameType::kSettings, 0, 0}, from);
  output_.commit(kFrameHeaderBytes + length);
}

void Http2Session::write_window_update(uint32_t id, uint32_t increment) {
  if (increment == 0) return;
  uint8_t* at = output_.reserve(kFrameHeaderBytes + 4);
  write32(increment, write_frame_header({4, FrameType::kWindowUpdate, 0, id}, at));
  output_.commit(kFrameHeaderBytes + 4);
}

void Http2Session::write_rst_stream(uint32_t id, Http2Error error) {
  uint8_t* at = output_.reserve(kFrameHeaderBytes + 4);
  write32(static_cast<uint32_t>(error), write_frame_header({4, FrameType::kRstStream, 0, id}, at));
  output_.commit(kFrameHeaderBytes + 4);
}

void Http2Session::write_header_block(uint32_t id, const HeaderList& fields, bool end_stream) {
  const uint8_t end_flag = end_stream ? frame_flag::kEndStream : uint8_t{0};
  const size_t bound = hpack_bound(fields) + 1;
  const size_t piece = std::min<size_t>(peer_max_frame_, Chunk::kBytes - kFrameHeaderBytes);
  const auto encode = [this, &fields](uint8_t* into) {
    if (shrink_peer_table_) *into++ = 0x20;  // a dynamic table of size zero is what this encoder uses
    shrink_peer_table_ = false;
    return hpack_encode(fields, into);
  };
  if (bound <= piece) {
    uint8_t* const from = output_.reserve(kFrameHeaderBytes + bound);
    const auto length = static_cast<uint32_t>(encode(from + kFrameHeaderBytes) - (from + kFrameHeaderBytes));
    write_frame_header(
        {length, FrameType::kHeaders, static_cast<uint8_t>(frame_flag::kEndHeaders | end_flag), id}, from);
    output_.commit(kFrameHeaderBytes + length);
    return;
  }
  thread_local std::vector<uint8_t> block;
  if (block.size() < bound) block.resize(bound);
  std::span<const uint8_t> left(block.data(), static_cast<size_t>(encode(block.data()) - block.data()));
  FrameHeader header{0, FrameType::kHeaders, end_flag, id};
  do {
    const auto now = left.first(std::min(piece, left.size()));
    left = left.subspan(now.size());
    header.length = static_cast<uint32_t>(now.size());
    if (left.empty()) header.flags |= frame_flag::kEndHeaders;
    write_frame_header(header, output_.reserve(kFrameHeaderBytes));
    output_.commit(kFrameHeaderBytes);
    output_.append(now);
    header = {0, FrameType::kContinuation, 0, id};
  } while (!left.empty());
}

void Http2Session::accept(uint32_t id, CodecStream& stream, void* owner) {
  stream.clear();
  stream.id = id;
  stream.owner = owner;
  stream.attached = true;
  stream.head_seen = true;
  stream.remote_closed = accept_end_stream_;
  stream.tunnel = accept_tunnel_;
  stream.body_left = accept_content_length_;
  stream.send_window = static_cast<int32_t>(peer_window_);
  stream.receive_window = static_cast<int32_t>(settings_.stream_window);
  streams_.insert(stream);
}

void Http2Session::refuse(uint32_t id, Http2Error error) {
  if (!fatal_) write_rst_stream(id, error);
}

bool Http2Session::can_open() const {
  return !goaway_received_ && !goaway_sent_ && !fatal_ && streams_.size() < peer_max_streams_ &&
         next_local_ <= kMaxStreamId;
}

void Http2Session::open(CodecStream& stream, void* owner, const HeaderList& fields, bool end_stream,
                        bool bodyless) {
  stream.clear();
  stream.id = next_local_;
  next_local_ += 2;
  stream.owner = owner;
  stream.attached = true;
  stream.bodyless = bodyless;
  stream.tunnel = fields.get(HeaderToken::kMethod) == "CONNECT";
  stream.local_closed = end_stream;
  stream.send_window = static_cast<int32_t>(peer_window_);
  stream.receive_window = static_cast<int32_t>(settings_.stream_window);
  streams_.insert(stream);
  write_header_block(stream.id, fields, end_stream);
}

void Http2Session::send_headers(CodecStream& stream, const HeaderList& fields, bool end_stream) {
  write_header_block(stream.id, fields, end_stream);
  if (end_stream) close_local(stream);
}

bool Http2Session::has_room() const {
  return send_window_ > 0 && output_.size() < settings_.output_limit;
}

bool Http2Session::can_send(const CodecStream& stream) const {
  return stream.send_window > 0 && has_room();
}

CodecStream* Http2Session::next_writable() {
  if (waiting_.empty() || !has_room()) return nullptr;
  CodecStream& stream = waiting_.front();
  stream.unlink();
  return &stream;
}

// Who found no room has a place in the queue, unless it is its own window that has to open.
void Http2Session::note_blocked(CodecStream& stream) {
  stream.blocked = true;
  if (stream.send_window > 0 && !stream.linked()) waiting_.push_back(stream);
}

size_t Http2Session::send_data(CodecStream& stream, std::span<const uint8_t> data, bool end_stream) {
  size_t allowed = 0;
  if (can_send(stream)) {
    allowed = std::min<size_t>(data.size(), static_cast<size_t>(std::min(send_window_, stream.send_window)));
  }
  send_window_ -= static_cast<int32_t>(allowed);
  stream.send_window -= static_cast<int32_t>(allowed);
  stream.blocked = false;
  if (allowed < data.size()) note_blocked(stream);
  end_stream = end_stream && !stream.blocked;
  std::span<const uint8_t> left = data.first(allowed);
  if (left.empty() && !end_stream) return 0;
  const size_t max_frame = std::min<size_t>(peer_max_frame_, Chunk::kBytes - kFrameHeaderBytes);
  do {
    const size_t wanted = std::min(left.size(), max_frame);
    uint8_t* const at = output_.reserve(kFrameHeaderBytes + std::min(wanted, kShortPiece));
    const size_t now = std::min(wanted, output_.room() - kFrameHeaderBytes);
    const bool last = end_stream && now == left.size();
    uint8_t* const payload = write_frame_header(
        {static_cast<uint32_t>(now), FrameType::kData, last ? frame_flag::kEndStream : uint8_t{0}, stream.id},
        at);
    if (now != 0) std::memcpy(payload, left.data(), now);
    output_.commit(kFrameHeaderBytes + now);
    left = left.subspan(now);
    credit_data_frame();
  } while (!left.empty());
  if (end_stream) close_local(stream);
  return allowed;
}

void Http2Session::consumed(CodecStream& stream, size_t bytes) {
  stream.unannounced += static_cast<uint32_t>(bytes);
  if (!stream.attached || stream.remote_closed || stream.unannounced < settings_.stream_window / 2) return;
  write_window_update(stream.id, stream.unannounced);
  stream.receive_window += static_cast<int32_t>(stream.unannounced);
  stream.unannounced = 0;
}

void Http2Session::give_back_window() {
  if (unannounced_ < connection_window() / 2) return;
  write_window_update(0, unannounced_);
  receive_window_ += static_cast<int32_t>(unannounced_);
  unannounced_ = 0;
}

void Http2Session::withhold_window(bool withhold) {
  withhold_window_ = withhold;
  if (!withhold && !fatal_) give_back_window();
}

// Whether the peer can send all that its content-length still promises without another word of ours, padding
// and all. Clients that have much to send look for RST_STREAM; some of the others (curl 7.88) lose the answer
// to it when it crosses the last bytes of their request.
bool Http2Session::rest_is_near(const CodecStream& stream) const {
  return role_ == Role::kServer && stream.local_closed && stream.body_left >= 0 &&
         stream.body_left <= stream.receive_window / 2;
}

void Http2Session::reset(CodecStream& stream, Http2Error error) {
  if (!stream.attached) return;
  if (!fatal_ && !(error == Http2Error::kNoError && rest_is_near(stream))) write_rst_stream(stream.id, error);
  detach(stream);
}

void Http2Session::detach(CodecStream& stream) {
  if (!stream.attached) return;
  streams_.erase(stream.id);
  stream.unlink();
  stream.attached = false;
}

void Http2Session::ping(uint64_t opaque) {
  ++pings_sent_;
  uint8_t* at = output_.reserve(kFrameHeaderBytes + 8);
  at = write_frame_header({8, FrameType::kPing, 0, 0}, at);
  write32(static_cast<uint32_t>(opaque), write32(static_cast<uint32_t>(opaque >> 32), at));
  output_.commit(kFrameHeaderBytes + 8);
}

void Http2Session::announce_goaway() {
  if (goaway_sent_ || fatal_) return;
  uint8_t* at = output_.reserve(kFrameHeaderBytes + 8);
  write32(0, write32(kMaxStreamId, write_frame_header({8, FrameType::kGoAway, 0, 0}, at)));
  output_.commit(kFrameHeaderBytes + 8);
}

void Http2Session::goaway(Http2Error error, std::string_view debug) {
  if (!goaway_sent_) last_accepted_ = highest_remote_;
  goaway_sent_ = true;
  const auto length = static_cast<uint32_t>(8 + debug.size());
  uint8_t* at = output_.reserve(kFrameHeaderBytes + length);
  at = write_frame_header({length, FrameType::kGoAway, 0, 0}, at);
  at = write32(static_cast<uint32_t>(error), write32(last_accepted_, at));
  if (!debug.empty()) std::memcpy(at, debug.data(), debug.size());
  output_.commit(kFrameHeaderBytes + length);
}

void Http2Session::close_local(CodecStream& stream) {
  stream.local_closed = true;
  if (!stream.remote_closed) return;
  detach(stream);
  finished();
}

void Http2Session::close_remote(CodecStream& stream) {
  stream.remote_closed = true;
  if (!stream.local_closed) return;
  detach(stream);
  finished();
}

}  // namespace sluice::l7
