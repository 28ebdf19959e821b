// One end of an HTTP/1 connection for tests and fuzzers: bytes go in whole or in pieces, what the session
// says of them comes out as lines of text, what it writes as a string.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/l7/http1_session.h"

namespace sluice::l7 {

using Role = Http1Session::Role;

/// A head in words: {{":method", "GET"}, ...}.
using Fields = std::vector<std::pair<std::string_view, std::string_view>>;

/// The simplest request, in words and on the wire, and the simplest response.
inline const Fields kGet = {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}};
inline const std::string kGetText = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
inline const Fields kNoContent = {{":status", "204"}};

inline HeaderList list_of(const Fields& fields) {
  HeaderList list;
  for (const auto& [name, value] : fields) list.add(name, value);
  return list;
}

inline std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

class Http1Script {
 public:
  explicit Http1Script(Role role, Http1Settings settings = {})
      : settings_(std::move(settings)), output_(chunks_), session(role, settings_, output_, scratch_) {
    session.start();
  }

  /// Offers `bytes` in pieces of `step` bytes, or whole if that is 0, behind what was left.
  void feed(std::string_view bytes, size_t step = 0) {
    if (step == 0) step = bytes.size();
    do {
      const std::string_view piece = bytes.substr(0, step);
      bytes.remove_prefix(piece.size());
      left.append(piece);
      turn();
    } while (!bytes.empty());
  }

  /// Offers what was left once more.
  void turn() {
    // Exactly as long as the bytes are, so that a read beyond them is found.
    const std::vector<uint8_t> copy(left.begin(), left.end());
    std::span<const uint8_t> input(copy);
    while (true) {
      const CodecEvent event = session.next(input);
      if (event.kind == CodecEvent::Kind::kNone) break;
      take(event);
    }
    left.assign(input.begin(), input.end());
  }

  void eof() {
    const CodecEvent event = session.on_eof();
    if (event.kind != CodecEvent::Kind::kNone) take(event);
  }

  /// A client's request.
  void open(const Fields& fields, bool end = true) {
    const HeaderList list = list_of(fields);
    session.open(stream, nullptr, list, end, list.get(HeaderToken::kMethod) == "HEAD");
  }
  void send(const Fields& fields, bool end) { session.send_headers(stream, list_of(fields), end); }
  size_t send_data(std::string_view data, bool end) { return session.send_data(stream, bytes_of(data), end); }

  /// What was written since the last time.
  std::string written() {
    std::string text;
    while (!output_.empty()) {
      const auto piece = output_.front();
      text.append(piece.begin(), piece.end());
      output_.consume(piece.size());
    }
    return text;
  }

  /// The events so far, a line each; data of one message that comes in pieces is one line.
  std::string take_events() {
    end_data();
    return std::exchange(events_, {});
  }

  std::string left;      ///< bytes that the session has not taken
  bool answers = false;  ///< answers each request, when it is whole, with 204, and CONNECT at once with 200
  bool refuses = true;   ///< calls refuse() for a malformed request

 private:
  Http1Settings settings_;
  ChunkPool chunks_;
  ByteQueue output_;
  HeaderList scratch_;

 public:
  Http1Session session;
  CodecStream stream;

 private:
  void take(const CodecEvent& event) {
    using Kind = CodecEvent::Kind;
    if (event.kind != Kind::kData) end_data();
    switch (event.kind) {
      case Kind::kHead:
        on_head(event);
        break;
      case Kind::kInformational:
        events_ += "informational" + fields();
        break;
      case Kind::kData:
        data_.append(event.data.begin(), event.data.end());
        if (event.end_stream) end_data();
        break;
      case Kind::kTrailers:
        events_ += "trailers" + fields();
        break;
      case Kind::kReset:
        events_ += std::string("reset ") + event.reason;
        break;
      case Kind::kWritable:
        events_ += "writable";
        break;
      case Kind::kFatal:
        events_ += std::string("fatal ") + event.reason;
        break;
      default:
        events_ += "unexpected";
    }
    if (event.kind != Kind::kData) events_ += event.end_stream ? " END\n" : "\n";
    if (event.kind == Kind::kData && event.end_stream) events_ += "END\n";
    if (!answers || !stream.attached || stream.local_closed) return;
    if (event.end_stream) {
      send({{":status", "204"}}, true);
    } else if (event.kind == Kind::kHead && event.head.connect) {
      send({{":status", "200"}}, false);
    }
  }

  void on_head(const CodecEvent& event) {
    if (event.head.error != nullptr) {
      events_ += "malformed " + std::to_string(event.head.status) + " " + event.head.error;
      if (refuses) {
        session.refuse(event.stream_id, event.error);
        return;
      }
    } else {
      events_ += "head" + fields();
    }
    if (event.stream == nullptr) session.accept(event.stream_id, stream, nullptr);
  }

  std::string fields() {
    std::string text;
    const HeaderList& list = session.headers();
    for (const HeaderList::Field& field : list.fields()) {
      text.append(" ").append(list.name(field)).append("=").append(list.value(field));
    }
    return text;
  }

  void end_data() {
    if (!data_.empty()) events_ += "data " + data_ + "\n";
    data_.clear();
  }

  std::string events_;
  std::string data_;
};

}  // namespace sluice::l7
