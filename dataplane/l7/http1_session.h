// One HTTP/1.x connection as a state machine (RFC 9112), with the events and commands of Http2Session: a
// request and its response are a stream, and there is one at a time. What it does not have in common with
// HTTP/2 are questions that its connection asks at the end of a turn: wants_input(), wants_close() and
// wants_end_of_output().
//
// It keeps no bytes and holds no memory beside the object itself. A head waits in the connection's input
// until it is whole; requests that a client sends ahead wait there, too, until the response before them is
// complete.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "dataplane/l7/byte_queue.h"
#include "dataplane/l7/codec_event.h"
#include "dataplane/l7/header_list.h"
#include "dataplane/l7/http1_chunks.h"
#include "dataplane/l7/http1_head.h"
#include "dataplane/l7/http1_settings.h"
#include "dataplane/l7/http1_writer.h"
#include "dataplane/l7/protocol_upgrade.h"

namespace sluice::l7 {

class Http1Session {
 public:
  enum class Role : uint8_t { kServer, kClient };

  /// `scratch` receives the fields of each head and may be shared by all sessions of a thread; `settings` and
  /// both others outlive the session.
  Http1Session(Role role, const Http1Settings& settings, ByteQueue& output, HeaderList& scratch);

  /// Whether the last request spoke HTTP/1.0.
  bool version_1_0() const { return version_1_0_; }

  /// HTTP/1 has no preface.
  void start() {}

  /// Takes bytes from the front of `input` up to the next event. On kNone what is left in `input` is to be
  /// offered again with more bytes behind it: a head's beginning, shorter than Http1Settings::max_head_size,
  /// or, while wants_input() is false, a request that came ahead.
  ///
  /// A malformed request is a kHead whose head.error says why and whose head.status says what to answer:
  /// refuse() answers so, or accept() takes it as a request without a body. A malformed response, or a
  /// malformed body, is a kReset, and the connection is of no use any more. If the request's body was
  /// malformed and nothing has been answered, 400 has been.
  CodecEvent next(std::span<const uint8_t>& input);
  /// The peer has ended its side. That ends a tunnel's or a response's data (kData), breaks off all else
  /// (kReset), or means nothing (kNone). wants_close() and wants_input() follow.
  CodecEvent on_eof();
  /// The fields of the last kHead, kInformational or kTrailers, until next() is called again.
  HeaderList& headers() { return scratch_; }

  // --- what the connection asks at the end of each turn
  /// Whether to read from the socket. When it becomes true again, what was left is to be offered before more
  /// is read.
  bool wants_input() const;
  /// Whether to close when the output is sent: no message can follow.
  bool wants_close() const { return stream_ == nullptr && !persistent_ && !discarding_; }
  /// Whether to end the output when it is sent, and read on: our end of a tunnel.
  bool wants_end_of_output() const { return end_of_output_; }
  /// Whether closing must look like a failure (a TCP reset): the response that the connection's end would
  /// complete is not complete.
  bool wants_abort() const { return abort_; }

  // --- streams of a server
  /// Makes the request just announced a stream.
  void accept(uint32_t id, CodecStream& stream, void* owner);
  /// Answers the request just announced with what is wrong with it, or else 503, and ends the connection.
  void refuse(uint32_t id, Http2Error error);
  /// The rest of a request's head, of which the beginning waits in the input, is late: answers 408 (RFC 9110
  /// section 15.5.9) and ends the connection. False, and nothing is said: no head is due.
  bool time_out_head();
  /// The settings of a client that wants to go on in HTTP/2; nothing if the request just announced did not
  /// ask for it. To be called before next(). A connection that agrees calls switch_to_h2c(), and then
  /// Http2Session::start_upgraded(payload, true) and accept(1, ...).
  std::optional<H2cSettings> h2c_upgrade() const;
  /// Writes 101. The session is of no use afterwards.
  void switch_to_h2c();

  // --- streams of a client
  /// Whether open() would be taken.
  bool can_open() const {
    return role_ == Role::kClient && persistent_ && stream_ == nullptr && reading_ == Reading::kHead;
  }
  /// Sends a request. `bodyless`: its response has no body (HEAD). CONNECT, plain or extended, takes no data
  /// before the answer.
  void open(CodecStream& stream, void* owner, const HeaderList& fields, bool end_stream, bool bodyless);

  // --- both
  /// Sends a head (informational or final) or trailers (`end_stream`). Trailers of a body that is not chunked
  /// are left out. An HTTP/1.0 client gets no informational heads.
  void send_headers(CodecStream& stream, const HeaderList& fields, bool end_stream);
  /// Sends as much of `data` as the output's limit lets through; returns how much. `end_stream` counts if all
  /// went. What did not go may be offered again when the output has drained, or at kWritable.
  size_t send_data(CodecStream& stream, std::span<const uint8_t> data, bool end_stream);
  /// Whether send_data() would take any byte now.
  bool can_send(const CodecStream& stream) const;
  /// `bytes` of the stream's body have left this side's memory.
  void consumed(CodecStream& stream, size_t bytes);
  /// Ends a stream. Unless all of it was said, the connection ends with it; what is left of the body of a
  /// request that has been answered whole (kNoError) is read and dropped, if it is not much.
  void reset(CodecStream& stream, Http2Error error);
  /// The rest of the request's body is not waited for: the connection ends behind its response.
  void give_up_body() { last_response_ = body_given_up_ = true; }
  /// Forgets a stream of which nothing more is to be said.
  void detach(CodecStream& stream);
  /// Goes on with another object for the attached stream.
  void replace(CodecStream& stream) { stream_ = &stream; }
  /// The next response says that it is the last.
  void announce_goaway() { last_response_ = true; }
  /// No message follows the current one.
  void goaway(Http2Error error, std::string_view debug = {});

  size_t open_streams() const { return stream_ == nullptr ? 0 : 1; }
  bool goaway_sent() const { return goaway_sent_; }
  /// Of a client: the server takes no more requests.
  bool goaway_received() const { return role_ == Role::kClient && !persistent_; }
  uint32_t peer_max_concurrent_streams() const { return 1; }
  /// Extended CONNECT becomes Upgrade.
  std::optional<bool> peer_extended_connect() const { return true; }
  /// Calls `visit(CodecStream&)` for the open stream; it must not open, reset or detach.
  template <typename Visit>
  void for_each_stream(Visit visit) const {
    if (stream_ != nullptr) visit(*stream_);
  }
  CodecStream* find_stream(uint32_t id) const {
    return stream_ != nullptr && stream_->id == id ? stream_ : nullptr;
  }
  /// Memory held beside the object itself, in bytes.
  size_t capacity() const { return 0; }

 private:
  enum class Reading : uint8_t {
    kHead,
    kLength,    // a body of which body_left_ bytes are missing
    kChunks,    // a body in chunks
    kTrailers,  // behind the last chunk
    kUntilEnd,  // a body that ends with the connection
    kTunnel,
    kWaiting,  // the message is whole; the next one is not read yet
    kOver,     // whatever comes is dropped
  };
  enum class Writing : uint8_t {
    kHead,  // the final head is not sent
    kHeld,  // a request for a tunnel waits for its answer
    kBody,  // as framing_ says
  };
  enum class Upgrade : uint8_t { kNone, kConnect, kWebSocket, kOther };

  // Reading.
  CodecEvent on_request_head(std::span<const uint8_t>& input);
  CodecEvent on_request(const Http1Head& head);
  CodecEvent malformed_request(const char* why, uint16_t status);
  CodecEvent on_response_head(std::span<const uint8_t>& input);
  CodecEvent on_response(const Http1Head& head);
  CodecEvent on_tunnel(const Http1Head& head);
  CodecEvent on_body(std::span<const uint8_t>& input);
  CodecEvent on_chunks(std::span<const uint8_t>& input);
  CodecEvent on_trailers(std::span<const uint8_t>& input);
  CodecEvent on_data(std::span<const uint8_t> data, bool end);
  CodecEvent discard(size_t size, bool end);
  CodecEvent fatal(const char* why);
  CodecEvent broken(const char* why, Defence defence = Defence::kNone);
  CodecEvent lost(Http2Error error, const char* why);
  CodecEvent event_of_stream(CodecEvent::Kind kind) const;
  // As much of it as a head may have.
  std::string_view head_text(std::span<const uint8_t> input) const {
    return {reinterpret_cast<const char*>(input.data()), std::min(input.size(), settings_.max_head_size)};
  }

  // Sending.
  void send_final_head(CodecStream& stream, const HeaderList& fields, uint16_t status, bool end_stream);
  BodyFraming framing_of_response(const HeaderList& fields, uint16_t status, bool end_stream) const;
  void write_refusal(uint16_t status);
  void write_piece(std::span<const uint8_t> data);
  void end_body(CodecStream& stream);

  // The message's and the connection's end.
  void close_remote();
  void close_local(CodecStream& stream);
  void next_message();
  void drop_stream();
  void end_connection();

  const Http1Settings& settings_;
  ByteQueue& output_;
  HeaderList& scratch_;
  CodecStream* stream_ = nullptr;
  uint64_t body_left_ = 0;   // to be read
  uint64_t write_left_ = 0;  // that the content-length sent still promises
  size_t unconsumed_ = 0;    // bytes of the body that the stream's owner holds
  size_t discard_left_ = 0;
  std::string_view h2c_settings_;  // in the input; see h2c_upgrade()
  Http1ChunkReader chunks_;
  uint32_t scanned_ = 0;  // of a head that is not whole: no end before this
  uint32_t last_id_ = 0;
  uint16_t refusal_ = 0;  // the status that the request just announced deserves
  WebSocketAccept websocket_accept_{};

  Role role_;
  Reading reading_ = Reading::kHead;
  Writing writing_ = Writing::kHead;
  BodyFraming framing_ = BodyFraming::kNone;  // of what is being sent
  Upgrade upgrade_ = Upgrade::kNone;
  uint8_t informational_ = 0;   // heads before the final one
  bool persistent_ = true;      // another message may follow
  bool last_response_ = false;  // announced; not yet in a head
  bool goaway_sent_ = false;
  bool empty_line_seen_ = false;
  bool version_1_0_ = false;      // of the request
  bool head_request_ = false;     // HEAD
  bool expect_continue_ = false;  // the client waits for 100 before it sends its body
  bool h2c_offered_ = false;
  bool held_back_ = false;  // bytes of the next message wait in the input
  bool writable_due_ = false;
  bool discarding_ = false;  // what is left of a body that nobody wants
  bool end_of_output_ = false;
  bool eof_ = false;
  bool body_given_up_ = false;
  bool abort_ = false;
};

}  // namespace sluice::l7
