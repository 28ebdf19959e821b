// What a connection speaks: HTTP/2 or HTTP/1.1, behind one set of commands and events. A branch, no virtual
// call: the codec is asked several times per request.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "dataplane/l7/http1_session.h"
#include "dataplane/l7/http2_session.h"

namespace sluice::l7 {

class Codec {
 public:
  bool undecided() const { return std::holds_alternative<std::monostate>(session_); }
  bool is_http2() const { return std::holds_alternative<Http2Session>(session_); }
  Http2Session& use_http2(Http2Session::Role role, const Http2Settings& settings, ByteQueue& output,
                          HeaderList& scratch) {
    return session_.emplace<Http2Session>(role, settings, output, scratch);
  }
  Http1Session& use_http1(Http1Session::Role role, const Http1Settings& settings, ByteQueue& output,
                          HeaderList& scratch) {
    return session_.emplace<Http1Session>(role, settings, output, scratch);
  }
  /// Only if is_http2() or, for the other, neither that nor undecided().
  Http2Session& http2() { return *std::get_if<Http2Session>(&session_); }
  Http1Session& http1() { return *std::get_if<Http1Session>(&session_); }

  // As in http2_session.h; not while undecided().
  CodecEvent next(std::span<const uint8_t>& input) {
    return is_http2() ? http2().next(input) : http1().next(input);
  }
  void accept(uint32_t id, CodecStream& stream, void* owner) {
    is_http2() ? http2().accept(id, stream, owner) : http1().accept(id, stream, owner);
  }
  void refuse(uint32_t id, Http2Error error) {
    is_http2() ? http2().refuse(id, error) : http1().refuse(id, error);
  }
  bool can_open() { return is_http2() ? http2().can_open() : http1().can_open(); }
  void open(CodecStream& stream, void* owner, const HeaderList& fields, bool end_stream, bool bodyless) {
    is_http2() ? http2().open(stream, owner, fields, end_stream, bodyless)
               : http1().open(stream, owner, fields, end_stream, bodyless);
  }
  void send_headers(CodecStream& stream, const HeaderList& fields, bool end_stream) {
    is_http2() ? http2().send_headers(stream, fields, end_stream)
               : http1().send_headers(stream, fields, end_stream);
  }
  size_t send_data(CodecStream& stream, std::span<const uint8_t> data, bool end_stream) {
    return is_http2() ? http2().send_data(stream, data, end_stream)
                      : http1().send_data(stream, data, end_stream);
  }
  void consumed(CodecStream& stream, size_t bytes) {
    is_http2() ? http2().consumed(stream, bytes) : http1().consumed(stream, bytes);
  }
  /// Whether the peer may send more of the stream's body now, as far as its own window goes.
  bool takes_data(const CodecStream& stream) {
    return is_http2() ? stream.receive_window > 0 : http1().wants_input();
  }
  void reset(CodecStream& stream, Http2Error error) {
    is_http2() ? http2().reset(stream, error) : http1().reset(stream, error);
  }
  void detach(CodecStream& stream) { is_http2() ? http2().detach(stream) : http1().detach(stream); }
  /// The stream's state moves to another object, of another owner.
  void move(CodecStream& from, CodecStream& to, void* owner) {
    static_cast<CodecStreamState&>(to) = from;
    to.owner = owner;
    from.attached = false;
    if (to.attached) is_http2() ? http2().replace(from, to) : http1().replace(to);
  }
  void announce_goaway() { is_http2() ? http2().announce_goaway() : http1().announce_goaway(); }
  void goaway(Http2Error error, std::string_view debug = {}) {
    is_http2() ? http2().goaway(error, debug) : http1().goaway(error, debug);
  }
  size_t open_streams() {
    return undecided() ? 0 : is_http2() ? http2().open_streams() : http1().open_streams();
  }
  std::optional<bool> peer_extended_connect() {
    return is_http2() ? http2().peer_extended_connect() : http1().peer_extended_connect();
  }
  bool goaway_received() { return is_http2() ? http2().goaway_received() : http1().goaway_received(); }
  /// No request can be opened any more, also when all streams have ended.
  bool spent() { return is_http2() ? http2().spent() : http1().goaway_received(); }
  /// Calls `visit(CodecStream&)` for streams that found no room, as long as there is some: who has waited
  /// longest comes first.
  template <typename Visit>
  void for_each_writable(Visit visit) {
    if (undecided()) return;
    if (!is_http2()) {
      http1().for_each_stream([&visit](CodecStream& stream) {
        if (stream.blocked) visit(stream);
      });
      return;
    }
    while (CodecStream* stream = http2().next_writable()) visit(*stream);
  }
  template <typename Visit>
  void for_each_stream(Visit visit) {
    if (undecided()) return;
    is_http2() ? http2().for_each_stream(visit) : http1().for_each_stream(visit);
  }
  /// The open stream of that number, or nullptr.
  CodecStream* find_stream(uint32_t id) {
    if (undecided()) return nullptr;
    return is_http2() ? http2().find_stream(id) : http1().find_stream(id);
  }
  /// Detaches the open streams above `last` and calls `visit(CodecStream&)` for each. The end of one may be
  /// the end of others, and of the objects that they lie in: those are left out.
  template <typename Visit>
  void drop_streams_above(uint32_t last, Visit visit) {
    std::vector<uint32_t> dropped;
    for_each_stream([&](const CodecStream& stream) {
      if (stream.id > last) dropped.push_back(stream.id);
    });
    for (const uint32_t id : dropped) {
      CodecStream* stream = find_stream(id);
      if (stream == nullptr) continue;
      detach(*stream);
      visit(*stream);
    }
  }

  /// Lets what a peer did without use be forgotten with time: so many frames and cancelled streams a second
  /// are nobody's attack. Called with what it reads.
  void forgive(std::chrono::steady_clock::time_point now) {
    constexpr int32_t kFramesPerSecond = 100;
    constexpr int32_t kStreamsPerSecond = 10;
    if (!is_http2() || now < forgiven_at_ + std::chrono::seconds(1)) return;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - forgiven_at_).count();
    const auto counted = static_cast<int32_t>(std::min<int64_t>(seconds, 1000));
    forgiven_at_ = now;
    http2().forgive(kFramesPerSecond * counted, kStreamsPerSecond * counted);
  }

  /// Whether what is left in the input is the beginning of a head, or of a frame, that is to be whole soon.
  bool awaits_rest(std::span<const uint8_t> left) {
    if (undecided()) return true;
    return is_http2() ? !left.empty() || http2().open_header_block() != 0
                      : !left.empty() && http1().open_streams() == 0;
  }
  uint32_t open_header_block() { return is_http2() ? http2().open_header_block() : 0; }
  /// Memory held beside the object itself, in bytes.
  size_t capacity() { return is_http2() ? http2().capacity() : 0; }

  // Of HTTP/1.1 alone; see http1_session.h.
  bool wants_input() { return undecided() || is_http2() || http1().wants_input(); }
  bool wants_close() { return !undecided() && !is_http2() && http1().wants_close(); }
  bool wants_end_of_output() { return !undecided() && !is_http2() && http1().wants_end_of_output(); }
  bool wants_abort() { return !undecided() && !is_http2() && http1().wants_abort(); }

 private:
  std::variant<std::monostate, Http2Session, Http1Session> session_;
  std::chrono::steady_clock::time_point forgiven_at_{};
};

}  // namespace sluice::l7
