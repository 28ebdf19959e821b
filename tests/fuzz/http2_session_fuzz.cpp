// Any bytes, and any frames, to both ends of an HTTP/2 connection: a session never crashes, says nothing
// behind its end, tells of no stream that is not open, writes whole frames only, and does not mind where its
// input is cut.
//
// Input: a byte of options, then bytes as they are, or frames: type, flags, stream, length and payload.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "dataplane/l7/http2_session.h"

namespace {

using namespace sluice::l7;
using Kind = CodecEvent::Kind;
using Bytes = std::vector<uint8_t>;

void require(bool holds) {
  if (!holds) __builtin_trap();
}

constexpr uint8_t kClient = 1;
constexpr uint8_t kRaw = 2;  // no preface, and the input is not made into frames
constexpr uint8_t kSmallWindow = 4;
constexpr uint8_t kFewStreams = 8;
constexpr uint8_t kLowLimits = 16;
constexpr uint8_t kExtendedConnect = 32;

Http2Settings settings_of(uint8_t options) {
  Http2Settings settings;
  if ((options & kSmallWindow) != 0) settings.stream_window = 100;
  if ((options & kFewStreams) != 0) settings.max_concurrent_streams = 2;
  if ((options & kLowLimits) != 0) {
    settings.abuse_limit = 10;
    settings.cancel_limit = 3;
    settings.headers = {200, 6};
    settings.output_limit = 1000;
  }
  settings.extended_connect = (options & kExtendedConnect) != 0;
  return settings;
}

/// A session with an owner who answers everything, and what it was told and sent.
class Play {
 public:
  explicit Play(uint8_t options)
      : client_((options & kClient) != 0),
        settings_(settings_of(options)),
        session_(client_ ? Http2Session::Role::kClient : Http2Session::Role::kServer, settings_, output_,
                 scratch_) {
    session_.start();
    if (!client_) return;
    fields_.add(HeaderToken::kMethod, "HEAD");
    for (uint32_t id = 1; id < 12 && session_.can_open(); id += 2) {
      session_.open(streams_[id], this, fields_, id % 4 == 1, id == 3);
    }
  }

  void feed(std::span<const uint8_t> bytes) {
    unread_.insert(unread_.end(), bytes.begin(), bytes.end());
    const Bytes copy(unread_);
    std::span<const uint8_t> input(copy);
    while (true) {
      const CodecEvent event = session_.next(input);
      if (event.kind == Kind::kNone) break;
      require(!dead_);
      take(event);
    }
    require(!dead_ || input.empty());
    // What is left is one frame that is not whole.
    require(input.size() < kFrameHeaderBytes + settings_.max_frame_size);
    unread_.assign(input.begin(), input.end());
    size_t attached = 0;
    for (const auto& [id, stream] : streams_) attached += stream.attached ? 1 : 0;
    require(attached == session_.open_streams());
  }

  const std::string& told() const { return told_; }
  Bytes sent() {
    Bytes bytes;
    while (!output_.empty()) {
      bytes.insert(bytes.end(), output_.front().begin(), output_.front().end());
      output_.consume(output_.front().size());
    }
    return bytes;
  }

 private:
  void take(const CodecEvent& event) {
    if (event.kind == Kind::kData && !event.end_stream && event.stream_id == open_data_) {
      told_.append(event.data.begin(), event.data.end());
      return;
    }
    if (event.kind != Kind::kData || event.stream_id != open_data_) {
      told_ += "|" + std::to_string(static_cast<int>(event.kind)) + "," + std::to_string(event.stream_id) +
               "," + std::to_string(static_cast<uint32_t>(event.error)) + ",";
    }
    if (event.kind == Kind::kData) told_.append(event.data.begin(), event.data.end());
    if (event.end_stream) told_ += "$";
    open_data_ = event.kind == Kind::kData && !event.end_stream ? event.stream_id : 0;
    switch (event.kind) {
      case Kind::kHead:
        head(event);
        return;
      case Kind::kInformational:
      case Kind::kTrailers:
      case Kind::kData:
        require(event.stream != nullptr && event.stream == &streams_.at(event.stream_id));
        require(event.kind != Kind::kTrailers || event.end_stream);
        require(event.stream->receive_window >= -static_cast<int32_t>(kDefaultWindow));
        return;
      case Kind::kReset:
        require(event.stream != nullptr && !event.stream->attached);
        return;
      case Kind::kWritable:
        for (auto& [id, stream] : streams_) {
          if (stream.attached && stream.blocked) send(stream);
        }
        return;
      case Kind::kFatal:
        require(event.reason != nullptr);
        dead_ = true;
        return;
      default:
        return;
    }
  }

  void head(const CodecEvent& event) {
    for (const HeaderList::Field& field : session_.headers().fields()) {
      told_.append(session_.headers().name(field)).append("=").append(session_.headers().value(field));
    }
    if (client_) return;
    require(event.stream == nullptr);
    if (event.head.error != nullptr) {
      session_.refuse(event.stream_id, event.error);
      return;
    }
    require(!streams_.contains(event.stream_id));
    CodecStream& stream = streams_[event.stream_id];
    session_.accept(event.stream_id, stream, this);
    fields_.clear();
    fields_.add(HeaderToken::kStatus, "200");
    session_.send_headers(stream, fields_, false);
    send(stream);
  }

  void send(CodecStream& stream) {
    if (stream.local_closed) return;
    static constexpr std::array<uint8_t, 300> kBody{};
    const int32_t window = stream.send_window;
    const size_t size = 100 + stream.id % 200;
    const size_t sent = session_.send_data(stream, std::span(kBody).first(size), true);
    require(sent <= size && (sent == 0 || static_cast<int64_t>(sent) <= window));
    if (sent == size) require(stream.local_closed);
  }

  bool client_;
  const Http2Settings settings_;
  ChunkPool chunks_;
  ByteQueue output_{chunks_};
  HeaderList scratch_;
  HeaderList fields_;
  Http2Session session_;
  std::map<uint32_t, CodecStream> streams_;
  Bytes unread_;
  std::string told_;
  uint32_t open_data_ = 0;
  bool dead_ = false;
};

// A header block that is well formed, or its beginning.
void put_block(uint8_t kind, Bytes& payload) {
  static const std::vector<Bytes> kBlocks = {
      {0x82, 0x86, 0x84, 0x01, 0x01, 'a'},                         // GET http / a
      {0x83, 0x86, 0x84, 0x41, 0x01, 'a'},                         // POST, and the authority enters the table
      {0x88},                                                      // 200
      {0x08, 0x03, '1', '0', '3'},                                 // 103
      {0x00, 0x01, 'x', 0x01, 'y'},                                // trailers
      {0x83, 0x86, 0x84, 0x01, 0x01, 'a', 0x0f, 0x0d, 0x01, '5'},  // content-length: 5
      {0x89},                                                      // 204
      {0x02, 0x07, 'C', 'O', 'N', 'N', 'E', 'C', 'T', 0x01, 0x01, 'a'},
      {0x88, 0x0f, 0x0d, 0x01, '5'},
  };
  const Bytes& block = kBlocks[kind % kBlocks.size()];
  payload.insert(payload.end(), block.begin(), block.end());
}

Bytes frames_of(std::span<const uint8_t> input) {
  Bytes bytes;
  while (input.size() >= 4) {
    const uint8_t type = input[0] % 12;
    const uint8_t flags = input[1];
    const uint32_t stream = input[2] % 16;
    const size_t size = std::min<size_t>(input[3], input.size() - 4);
    Bytes payload;
    const bool headers = type == 1 || type == 9;
    if (headers && (input[0] & 0x80) != 0) put_block(input[2] >> 4, payload);
    payload.insert(payload.end(), input.begin() + 4, input.begin() + 4 + static_cast<ptrdiff_t>(size));
    // Sizes that frames of these types have.
    static constexpr std::array<size_t, 12> kSizes = {0, 0, 5, 4, 0, 0, 8, 8, 4, 0, 0, 0};
    if (kSizes[type] != 0 && (input[0] & 0x40) == 0) payload.resize(kSizes[type]);
    if (type == 4 && (input[0] & 0x40) == 0) payload.resize(payload.size() / 6 * 6);
    const bool on_connection = type == 4 || type == 6 || type == 7;
    std::array<uint8_t, kFrameHeaderBytes> header;
    write_frame_header({static_cast<uint32_t>(payload.size()), static_cast<FrameType>(type), flags,
                        on_connection && (input[0] & 0x20) == 0 ? 0 : stream},
                       header.data());
    bytes.insert(bytes.end(), header.begin(), header.end());
    bytes.insert(bytes.end(), payload.begin(), payload.end());
    input = input.subspan(4 + size);
  }
  return bytes;
}

void require_whole_frames(Bytes sent, bool client) {
  std::span<const uint8_t> left(sent);
  if (client) left = left.subspan(kClientPreface.size());
  while (!left.empty()) {
    require(left.size() >= kFrameHeaderBytes);
    const FrameHeader header = read_frame_header(left.data());
    require(left.size() >= kFrameHeaderBytes + header.length);
    left = left.subspan(kFrameHeaderBytes + header.length);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return -1;
  const uint8_t options = data[0];
  const std::span<const uint8_t> input(data + 1, size - 1);
  Bytes bytes;
  if ((options & kRaw) != 0) {
    bytes.assign(input.begin(), input.end());
  } else {
    if ((options & kClient) == 0) bytes.assign(kClientPreface.begin(), kClientPreface.end());
    bytes.insert(bytes.end(), {0, 0, 0, 4, 0, 0, 0, 0, 0});
    const Bytes frames = frames_of(input);
    bytes.insert(bytes.end(), frames.begin(), frames.end());
  }
  Play whole(options);
  whole.feed(bytes);
  Play cut(options);
  for (size_t at = 0, piece = 1; at < bytes.size(); at += piece, piece = 1 + (at * 7 + options) % 23) {
    cut.feed(std::span(bytes).subspan(at, std::min(piece, bytes.size() - at)));
  }
  require(whole.told() == cut.told());
  const Bytes sent = whole.sent();
  require(sent == cut.sent());
  require_whole_frames(sent, (options & kClient) != 0);
  return 0;
}
