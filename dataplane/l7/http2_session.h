// One HTTP/2 connection as a state machine (RFC 9113): bytes in, events out; messages in, bytes out. It opens
// no socket, reads no clock and calls nobody: next() takes bytes and returns what they mean, one event at a
// time; the commands write frames to the connection's output buffer.
//
// Why not nghttp2's session: one takes 25.6 KB before its first request (1 000 sessions, nghttp2 1.52), and
// an idle client may cost four here. Memory comes with use: tables with the first stream, the output's chunks
// while bytes wait. The owner keeps the state of its streams in its own objects, so that a stream allocates
// nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/l7/byte_queue.h"
#include "dataplane/l7/codec_event.h"
#include "dataplane/l7/header_list.h"
#include "dataplane/l7/hpack.h"
#include "dataplane/l7/http2_frame.h"
#include "dataplane/l7/message_rules.h"
#include "dataplane/l7/stream_table.h"

namespace sluice::l7 {

/// What this side announces, and what it bears.
struct Http2Settings {
  uint32_t max_concurrent_streams = 256;  ///< of the peer; servers only
  uint32_t stream_window = 256 * 1024;    ///< bytes that a stream's peer may send ahead: its memory bound
  uint32_t connection_window = 16 * 1024 * 1024;
  uint32_t max_frame_size = kMinMaxFrameSize;
  HeaderLimits headers;
  bool extended_connect = false;     ///< RFC 8441; servers only
  size_t output_limit = 256 * 1024;  ///< no DATA is taken while that many bytes wait to be sent
  /// Frames without use that a connection may send ahead of useful ones: empty DATA, PING, SETTINGS, ...
  int32_t abuse_limit = 1000;
  /// Streams that the peer may reset, or make this side reset, ahead of those that come to their end.
  int32_t cancel_limit = 200;
  /// What a malformed message ends (RFC 9113 section 8.1.1 lets a receiver choose): its stream, or the
  /// connection.
  bool malformed_ends_connection = false;
};

class Http2Session {
 public:
  enum class Role : uint8_t { kServer, kClient };

  /// `scratch` receives the fields of each head and may be shared by all sessions of a thread; `settings` and
  /// both others outlive the session.
  Http2Session(Role role, const Http2Settings& settings, ByteQueue& output, HeaderList& scratch);

  /// Writes this side's preface.
  void start();
  /// A server whose client came by Upgrade from HTTP/1.1 (RFC 7540 section 3.2): `payload` is the decoded
  /// HTTP2-Settings field. Returns false if that is no settings payload. accept(1, ...) follows start().
  bool start_upgraded(std::span<const uint8_t> payload, bool end_stream);

  /// Takes bytes from the front of `input` up to the next event. On kNone what is left in `input` is the
  /// beginning of a frame, to be offered again with more bytes behind it.
  CodecEvent next(std::span<const uint8_t>& input);
  /// The fields of the last kHead, kInformational or kTrailers, until next() is called again.
  HeaderList& headers() { return scratch_; }

  // --- streams of a server
  /// Makes the request just announced a stream.
  void accept(uint32_t id, CodecStream& stream, void* owner);
  /// Answers the request just announced with RST_STREAM.
  void refuse(uint32_t id, Http2Error error);

  // --- streams of a client
  /// Whether open() would be taken: the peer's concurrency limit, GOAWAY, stream numbers left.
  bool can_open() const;
  /// Sends a request. `bodyless`: its response has no body (HEAD).
  void open(CodecStream& stream, void* owner, const HeaderList& fields, bool end_stream, bool bodyless);

  // --- both
  /// Sends a head (informational or final) or trailers (`end_stream`).
  void send_headers(CodecStream& stream, const HeaderList& fields, bool end_stream);
  /// Sends as much of `data` as windows and the output's limit let through; returns how much. `end_stream`
  /// counts if all went. What did not go is announced by kWritable, or may be offered again when the output
  /// has drained.
  size_t send_data(CodecStream& stream, std::span<const uint8_t> data, bool end_stream);
  /// Whether send_data() would take any byte now.
  bool can_send(const CodecStream& stream) const;
  /// Takes the stream out of the queue that has waited longest for the connection's window or room in the
  /// output; nullptr if there is no room, or nobody waits.
  CodecStream* next_writable();
  /// Gives back `bytes` of the stream's window: they have left this side's memory.
  void consumed(CodecStream& stream, size_t bytes);
  /// While `withhold` the connection's window is not opened further: what its streams send is bounded by what
  /// is left of it.
  void withhold_window(bool withhold);
  /// The stream whose header block has begun and not ended, or 0.
  uint32_t open_header_block() const { return block_stream_; }
  /// Ends a stream with RST_STREAM. Nothing follows for it. NO_ERROR, which says that a request's body is not
  /// wanted any more, is left unsaid where the rest of it is as good as there.
  void reset(CodecStream& stream, Http2Error error);
  /// Forgets a stream of which nothing more is to be said.
  void detach(CodecStream& stream);
  /// Goes on with another object for an attached stream.
  void replace(CodecStream& from, CodecStream& to) {
    streams_.replace(to);
    if (!from.linked()) return;
    from.unlink();
    waiting_.push_back(to);
  }
  void ping(uint64_t opaque);
  /// First step of a graceful end (RFC 9113 section 6.8): announces the end, still takes new streams.
  void announce_goaway();
  /// Takes no new stream any more. `debug` goes along as text for people.
  void goaway(Http2Error error, std::string_view debug = {});

  size_t open_streams() const { return streams_.size(); }
  /// The peer takes no more bytes of bodies for now, whatever stream they are of.
  bool send_window_closed() const { return send_window_ <= 0; }
  bool goaway_sent() const { return goaway_sent_; }
  bool goaway_received() const { return goaway_received_; }
  /// Of a client: no request can be opened any more. The peer has said so, or the stream numbers are used up
  /// (RFC 9113 section 5.1.1).
  bool spent() const { return goaway_received_ || next_local_ > kMaxStreamId; }
  uint32_t peer_max_concurrent_streams() const { return peer_max_streams_; }
  /// Whether the peer takes it (RFC 8441 section 3); nothing as long as its SETTINGS have not come.
  std::optional<bool> peer_extended_connect() const {
    return settings_seen_ ? std::optional(peer_extended_connect_) : std::nullopt;
  }
  /// Useless frames so far, less what useful ones have bought off.
  int32_t abuse() const { return abuse_; }
  /// Takes as many useless frames and cancelled streams off the account: what a connection may do is a rate,
  /// and its owner knows the time. Without it a client that only keeps its connection alive runs into the
  /// limit one day.
  void forgive(int32_t frames, int32_t streams);
  /// Calls `visit(CodecStream&)` for each open stream; it must not open, reset or detach.
  template <typename Visit>
  void for_each_stream(Visit visit) const {
    streams_.for_each(visit);
  }
  CodecStream* find_stream(uint32_t id) const { return streams_.find(id); }
  /// Memory held beside the object itself, in bytes.
  size_t capacity() const;

 private:
  // What a useless frame costs against Http2Settings::abuse_limit; useful ones buy off. A client may ping
  // with each message; one that only does such things is cut off.
  static constexpr int32_t kUselessFrame = 1;

  struct Received {  // one whole frame
    FrameHeader header;
    const uint8_t* payload;
  };
  CodecEvent fatal(Http2Error error, const char* reason);
  CodecEvent calm(Defence defence, Http2Error error = Http2Error::kEnhanceYourCalm);
  CodecEvent stream_error(uint32_t id, Http2Error error, const char* reason);
  CodecEvent malformed(uint32_t id, const char* reason);
  bool abused(int32_t cost);
  bool cancelled();
  bool answers_pile_up() const;
  void credit(int32_t worth);
  void credit_data_frame();
  void give_back_window();
  void finished();

  CodecEvent on_frame(const Received& frame);
  CodecEvent on_data_begin(const FrameHeader& header, std::span<const uint8_t>& input);
  CodecEvent on_data_bytes(std::span<const uint8_t>& input);
  CodecEvent on_headers(const Received& frame);
  CodecEvent on_continuation(const Received& frame);
  CodecEvent on_header_block(std::span<const uint8_t> block);
  CodecEvent on_request(bool end_stream);
  CodecEvent on_message(CodecStream& stream, bool end_stream);
  CodecEvent on_rst_stream(const Received& frame);
  CodecEvent on_settings(const Received& frame);
  CodecEvent on_ping(const Received& frame);
  CodecEvent on_goaway(const Received& frame);
  CodecEvent on_window_update(const Received& frame);
  const char* apply_setting(uint16_t id, uint32_t value, Http2Error& error);
  void close_remote(CodecStream& stream);
  void close_local(CodecStream& stream);
  bool has_room() const;
  bool rest_is_near(const CodecStream& stream) const;
  void note_blocked(CodecStream& stream);
  bool is_idle(uint32_t id) const;
  // SETTINGS cannot make the connection's first window smaller (RFC 9113 section 6.9.2).
  uint32_t connection_window() const { return std::max(settings_.connection_window, kDefaultWindow); }
  // What a peer may send on a stream beyond our window, as it has not seen our SETTINGS (section 6.9.3).
  int32_t unacknowledged_window() const {
    return settings_acknowledged_ || settings_.stream_window >= kDefaultWindow
               ? 0
               : static_cast<int32_t>(kDefaultWindow - settings_.stream_window);
  }
  bool is_ours(uint32_t id) const { return (id & 1) == (role_ == Role::kClient ? 1u : 0u); }

  void write_settings();
  void write_window_update(uint32_t id, uint32_t increment);
  void write_rst_stream(uint32_t id, Http2Error error);
  void write_header_block(uint32_t id, const HeaderList& fields, bool end_stream);

  const Http2Settings& settings_;
  ByteQueue& output_;
  HeaderList& scratch_;
  StreamTable<CodecStream> streams_;
  IntrusiveList<CodecStream, WaitingTag> waiting_;  // their own windows are open
  HpackDecoder decoder_;
  std::unique_ptr<std::vector<uint8_t>> block_;  // a header block in several frames, which is rare

  Role role_;
  bool preface_seen_;
  bool settings_seen_ = false;
  bool settings_acknowledged_ = false;
  bool fatal_ = false;
  bool goaway_sent_ = false;
  bool goaway_received_ = false;
  bool peer_extended_connect_ = false;
  bool shrink_peer_table_ = false;  // a table size update of zero is due at the next header block
  bool block_end_stream_ = false;
  bool data_end_stream_ = false;
  bool accept_end_stream_ = false;
  bool accept_tunnel_ = false;
  bool withhold_window_ = false;
  uint16_t continuations_ = 0;
  uint32_t pings_sent_ = 0;    // and not answered
  uint32_t block_stream_ = 0;  // not 0: CONTINUATION must follow
  uint32_t data_stream_ = 0;   // not 0: inside a DATA frame of that stream
  uint32_t data_left_ = 0;     // bytes of it still to come, without padding
  uint32_t padding_left_ = 0;
  uint32_t highest_remote_ = 0;  // highest stream that the peer has opened
  uint32_t last_accepted_ = kMaxStreamId;
  uint32_t next_local_ = 1;
  uint32_t peer_last_accepted_ = kMaxStreamId;
  // Before its SETTINGS a peer is taken to bear what RFC 9113 section 6.5.2 recommends as the least.
  uint32_t peer_max_streams_ = 100;
  uint32_t peer_window_ = kDefaultWindow;
  uint32_t peer_max_frame_ = kMinMaxFrameSize;
  int32_t send_window_ = kDefaultWindow;
  int32_t receive_window_ = kDefaultWindow;
  uint32_t unannounced_ = 0;
  int32_t abuse_ = 0;
  int32_t cancelled_ = 0;
  int64_t accept_content_length_ = -1;
};

}  // namespace sluice::l7
