// What a codec tells of the bytes it was given, and its state of one stream. HTTP/1.1 speaks in the same
// events as HTTP/2: its one message at a time is a stream, its head has pseudo-header fields.
#pragma once

#include <cstdint>
#include <span>

#include "dataplane/l7/defence.h"
#include "dataplane/l7/http2_frame.h"
#include "dataplane/l7/intrusive_list.h"
#include "dataplane/l7/message_rules.h"

namespace sluice::l7 {

/// A stream's state in the codec's eyes.
struct CodecStreamState {
  uint32_t id = 0;
  bool attached = false;       ///< the codec knows it
  bool remote_closed = false;  ///< the peer has sent its end
  bool local_closed = false;   ///< this side has sent its end
  bool head_seen = false;      ///< the final head has come, what follows is data or trailers
  bool bodyless = false;       ///< a response without a body whatever its content-length says
  bool tunnel = false;         ///< of CONNECT: nothing but DATA follows its head
  bool blocked = false;        ///< send_data() took less than was offered
  int32_t send_window = 0;
  int32_t receive_window = 0;
  uint32_t unannounced = 0;  ///< bytes consumed that no WINDOW_UPDATE has given back yet
  int64_t body_left = -1;    ///< bytes that content-length still promises; -1: none promised
  void* owner = nullptr;
};

struct WaitingTag;

/// A stream. It lives in its owner's object, from accept() or open() until `attached` is false; while others
/// take all of the connection's room it stands in the codec's queue.
struct CodecStream : CodecStreamState, ListLink<WaitingTag> {
  /// As a new one.
  void clear() {
    unlink();
    static_cast<CodecStreamState&>(*this) = {};
  }
};

struct CodecEvent {
  enum class Kind : uint8_t {
    kNone,           ///< nothing more in these bytes
    kHead,           ///< headers(): a request (stream == nullptr: accept() or refuse()), or a final response
    kInformational,  ///< headers(): a 1xx response
    kData,           ///< `data`; may be empty if `end_stream`
    kTrailers,       ///< headers(); the stream's end
    kReset,     ///< the stream is gone: reset by the peer, or here for what the peer did (`reason`). Not told
                ///< behind a whole response: then a server only wants no more of the request.
    kWritable,  ///< a window has opened: for `stream`, or for all if nullptr
    kSettings,  ///< the peer's settings have changed, see peer_max_concurrent_streams()
    kGoAway,    ///< the peer takes no stream above `stream_id`
    kPong,      ///< our ping() came back
    kFatal,     ///< the connection is over: send what is in the output, then close. `reason` says why.
  };
  Kind kind = Kind::kNone;
  bool end_stream = false;
  Http2Error error = Http2Error::kNoError;
  Defence defence = Defence::kNone;  ///< of what is refused or ended for the peer's behaviour: its reason
  uint32_t stream_id = 0;
  CodecStream* stream = nullptr;
  std::span<const uint8_t> data;
  const char* reason = nullptr;
  MessageHead head;
};

}  // namespace sluice::l7
