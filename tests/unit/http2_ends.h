// Both ends of an HTTP/2 connection for tests: ours, and nghttp2's. Each asks or answers what a list of plans
// says and keeps what it has received.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/l7/http2_session.h"
#include "lb/l7/random.h"
#include "tests/unit/nghttp2_hpack.h"

namespace sluice::l7 {

struct Message {
  TestFields head;
  std::string body;
  TestFields trailers;
  bool operator==(const Message&) const = default;
};

/// What a client asks and its server answers.
struct Plan {
  Message request;
  std::vector<TestFields> informational;
  Message response;
  bool answer_at_once = false;  ///< not only when the request is whole
};

/// What has come on a stream.
struct Received {
  Message message;
  std::vector<TestFields> informational;
  bool whole = false;
};

inline constexpr std::string_view kNumber = "x-number";

inline size_t number_of(const TestFields& head) {
  const auto found =
      std::find_if(head.begin(), head.end(), [](const TestField& field) { return field.name == kNumber; });
  return found == head.end() ? 0 : static_cast<size_t>(std::stoul(found->value));
}

/// nghttp2's end.
class Theirs {
 public:
  Theirs(bool server, const std::vector<Plan>& plans, Random& random)
      : server_(server), plans_(plans), random_(random) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, &Theirs::on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, &Theirs::on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, &Theirs::on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, &Theirs::on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, &Theirs::on_close);
    nghttp2_session_callbacks_set_select_padding_callback(callbacks, &Theirs::select_padding);
    (server ? nghttp2_session_server_new : nghttp2_session_client_new)(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    std::vector<nghttp2_settings_entry> settings = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, static_cast<uint32_t>(1000 + random.below(100'000))},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, static_cast<uint32_t>(16'384 + random.below(20'000))},
        {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, static_cast<uint32_t>(random.below(8192))},
    };
    if (server)
      settings.push_back(
          {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, static_cast<uint32_t>(1 + random.below(20))});
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  }
  Theirs(const Theirs&) = delete;
  Theirs& operator=(const Theirs&) = delete;
  ~Theirs() { nghttp2_session_del(session_); }

  void ask(size_t number) {
    const Message& request = plans_[number].request;
    auto fields = nghttp2_list_of(request.head);
    nghttp2_data_provider provider = provider_of();
    const bool more = !request.body.empty() || !request.trailers.empty();
    const int32_t id = nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(),
                                              more ? &provider : nullptr, nullptr);
    ASSERT_GT(id, 0);
    streams_[id].sending = &request;
  }

  Bytes take() {
    Bytes bytes;
    const uint8_t* from = nullptr;
    while (true) {
      const ssize_t size = nghttp2_session_mem_send(session_, &from);
      EXPECT_GE(size, 0);
      if (size <= 0) return bytes;
      bytes.insert(bytes.end(), from, from + size);
    }
  }
  void feed(std::span<const uint8_t> bytes) {
    const ssize_t taken = nghttp2_session_mem_recv(session_, bytes.data(), bytes.size());
    ASSERT_EQ(taken, static_cast<ssize_t>(bytes.size())) << nghttp2_strerror(static_cast<int>(taken));
  }

  std::map<size_t, Received> received;  ///< by number
  std::vector<uint32_t> errors;         ///< of streams that ended with one

 private:
  struct Stream {
    const Message* sending = nullptr;
    size_t sent = 0;
    TestFields fields;
    Received got;
  };

  static Theirs& self(void* user) { return *static_cast<Theirs*>(user); }

  nghttp2_data_provider provider_of() {
    nghttp2_data_provider provider{};
    provider.read_callback = &Theirs::read_body;
    return provider;
  }

  static ssize_t read_body(nghttp2_session* session, int32_t id, uint8_t* into, size_t room, uint32_t* flags,
                           nghttp2_data_source* /*source*/, void* user) {
    Stream& stream = self(user).streams_[id];
    const Message& message = *stream.sending;
    const size_t size =
        std::min({room, message.body.size() - stream.sent, 1 + self(user).random_.below(30'000)});
    std::copy_n(message.body.data() + stream.sent, size, into);
    stream.sent += size;
    if (stream.sent == message.body.size()) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (!message.trailers.empty()) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        auto fields = nghttp2_list_of(message.trailers);
        EXPECT_EQ(nghttp2_submit_trailer(session, id, fields.data(), fields.size()), 0);
      }
    }
    return static_cast<ssize_t>(size);
  }

  static ssize_t select_padding(nghttp2_session* /*session*/, const nghttp2_frame* frame, size_t most,
                                void* user) {
    const size_t padding = self(user).random_.below(4) == 0 ? self(user).random_.below(200) : 0;
    return static_cast<ssize_t>(std::min(frame->hd.length + padding, most));
  }

  static int on_begin_headers(nghttp2_session* /*session*/, const nghttp2_frame* frame, void* user) {
    self(user).streams_[frame->hd.stream_id].fields.clear();
    return 0;
  }
  static int on_header(nghttp2_session* /*session*/, const nghttp2_frame* frame, const uint8_t* name,
                       size_t name_size, const uint8_t* value, size_t value_size, uint8_t flags, void* user) {
    self(user).streams_[frame->hd.stream_id].fields.push_back(
        {std::string(reinterpret_cast<const char*>(name), name_size),
         std::string(reinterpret_cast<const char*>(value), value_size),
         (flags & NGHTTP2_NV_FLAG_NO_INDEX) != 0});
    return 0;
  }
  static int on_data(nghttp2_session* /*session*/, uint8_t /*flags*/, int32_t id, const uint8_t* data,
                     size_t size, void* user) {
    self(user).streams_[id].got.message.body.append(reinterpret_cast<const char*>(data), size);
    return 0;
  }
  static int on_frame(nghttp2_session* /*session*/, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    const int32_t id = frame->hd.stream_id;
    Theirs& me = self(user);
    Stream& stream = me.streams_[id];
    Received& got = stream.got;
    if (frame->hd.type == NGHTTP2_HEADERS) {
      if (stream.fields[0].value.starts_with('1') && stream.fields[0].name == ":status") {
        got.informational.push_back(stream.fields);
      } else if (got.message.head.empty()) {
        got.message.head = stream.fields;
        if (me.server_ && me.plans_[number_of(stream.fields)].answer_at_once) me.answer(id);
      } else {
        got.message.trailers = stream.fields;
      }
    }
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
      got.whole = true;
      if (me.server_ && !me.plans_[number_of(got.message.head)].answer_at_once) me.answer(id);
      me.received[number_of(me.server_ ? got.message.head : stream.sending->head)] = got;
    }
    return 0;
  }
  static int on_close(nghttp2_session* /*session*/, int32_t /*id*/, uint32_t error, void* user) {
    if (error != 0) self(user).errors.push_back(error);
    return 0;
  }

  void answer(int32_t id) {
    Stream& stream = streams_[id];
    const Plan& plan = plans_[number_of(stream.got.message.head)];
    for (const TestFields& head : plan.informational) {
      auto fields = nghttp2_list_of(head);
      EXPECT_EQ(nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, id, nullptr, fields.data(), fields.size(),
                                       nullptr),
                0);
    }
    stream.sending = &plan.response;
    nghttp2_data_provider provider = provider_of();
    auto fields = nghttp2_list_of(plan.response.head);
    const bool more = !plan.response.body.empty() || !plan.response.trailers.empty();
    EXPECT_EQ(nghttp2_submit_response(session_, id, fields.data(), fields.size(), more ? &provider : nullptr),
              0);
  }

  bool server_;
  const std::vector<Plan>& plans_;
  Random& random_;
  nghttp2_session* session_ = nullptr;
  std::map<int32_t, Stream> streams_;
};

/// Our end.
class Ours {
 public:
  Ours(bool server, const std::vector<Plan>& plans, Random& random)
      : server_(server),
        plans_(plans),
        random_(random),
        settings_(some_settings(random)),
        session_(server ? Http2Session::Role::kServer : Http2Session::Role::kClient, settings_, output_,
                 scratch_) {
    session_.start();
  }

  bool can_ask() const { return session_.can_open(); }
  void ask(size_t number) {
    auto owned = std::make_unique<Stream>();
    Stream& stream = *owned;
    stream.number = number;
    const Message& request = plans_[number].request;
    stream.sending = &request;
    stream.ended = request.body.empty() && request.trailers.empty();
    session_.open(stream.codec, &stream, list_of(request.head), stream.ended, false);
    streams_[stream.codec.id] = std::move(owned);
  }

  Bytes take() {
    Bytes bytes;
    while (!output_.empty()) {
      const auto front = output_.front();
      const size_t size = 1 + random_.below(front.size());
      bytes.insert(bytes.end(), front.begin(), front.begin() + static_cast<ptrdiff_t>(size));
      output_.consume(size);
    }
    return bytes;
  }

  void feed(std::span<const uint8_t> bytes) {
    unread_.insert(unread_.end(), bytes.begin(), bytes.end());
    const Bytes copy(unread_);
    std::span<const uint8_t> input(copy);
    while (true) {
      const CodecEvent event = session_.next(input);
      if (event.kind == CodecEvent::Kind::kNone) break;
      take(event);
      if (testing::Test::HasFatalFailure()) return;
    }
    unread_.assign(input.begin(), input.end());
  }

  /// Sends and gives back what windows and chance let through.
  void go_on() {
    for (auto& [id, stream] : streams_) {
      if (stream->sending != nullptr && !stream->ended) send_some(*stream);
      if (stream->held > 0 && random_.below(2) == 0) {
        const size_t back = 1 + random_.below(stream->held);
        session_.consumed(stream->codec, back);
        stream->held -= back;
      }
    }
  }

  std::map<size_t, Received> received;

 private:
  struct Stream {
    CodecStream codec;
    size_t number = 0;
    const Message* sending = nullptr;
    size_t sent = 0;
    bool ended = false;
    size_t held = 0;
    Received got;
  };

  static Http2Settings some_settings(Random& random) {
    Http2Settings settings;
    settings.stream_window = static_cast<uint32_t>(1000 + random.below(200'000));
    settings.connection_window = static_cast<uint32_t>(random.below(400'000));
    settings.max_frame_size = static_cast<uint32_t>(16'384 + random.below(20'000));
    settings.max_concurrent_streams = static_cast<uint32_t>(1 + random.below(50));
    settings.output_limit = 1000 + random.below(100'000);
    return settings;
  }

  void take(const CodecEvent& event) {
    switch (event.kind) {
      case CodecEvent::Kind::kHead: {
        ASSERT_EQ(event.head.error, nullptr) << event.head.error;
        Stream* stream = nullptr;
        if (server_) {
          auto& owned = streams_[event.stream_id];
          owned = std::make_unique<Stream>();
          stream = owned.get();
          session_.accept(event.stream_id, stream->codec, stream);
        } else {
          stream = owner(event);
        }
        stream->got.message.head = fields_of(session_.headers());
        if (server_) stream->number = number_of(stream->got.message.head);
        if (server_ && plans_[stream->number].answer_at_once) answer(*stream);
        if (event.end_stream) whole(*stream);
        return;
      }
      case CodecEvent::Kind::kInformational:
        owner(event)->got.informational.push_back(fields_of(session_.headers()));
        return;
      case CodecEvent::Kind::kData:
        owner(event)->got.message.body.append(event.data.begin(), event.data.end());
        owner(event)->held += event.data.size();
        if (event.end_stream) whole(*owner(event));
        return;
      case CodecEvent::Kind::kTrailers:
        owner(event)->got.message.trailers = fields_of(session_.headers());
        whole(*owner(event));
        return;
      case CodecEvent::Kind::kReset:
      case CodecEvent::Kind::kFatal:
      case CodecEvent::Kind::kGoAway:
        FAIL() << (event.reason == nullptr ? "by the peer" : event.reason);
      default:
        return;
    }
  }

  static Stream* owner(const CodecEvent& event) { return static_cast<Stream*>(event.stream->owner); }

  void whole(Stream& stream) {
    stream.got.whole = true;
    if (server_ && stream.sending == nullptr) answer(stream);
    received[stream.number] = stream.got;
  }

  void answer(Stream& stream) {
    const Plan& plan = plans_[stream.number];
    for (const TestFields& head : plan.informational)
      session_.send_headers(stream.codec, list_of(head), false);
    stream.sending = &plan.response;
    stream.ended = plan.response.body.empty() && plan.response.trailers.empty();
    session_.send_headers(stream.codec, list_of(plan.response.head), stream.ended);
  }

  void send_some(Stream& stream) {
    const Message& message = *stream.sending;
    const size_t left = message.body.size() - stream.sent;
    const size_t size = std::min<size_t>(left, random_.below(40'000));
    const bool end = size == left && message.trailers.empty();
    const size_t sent = session_.send_data(
        stream.codec, {reinterpret_cast<const uint8_t*>(message.body.data()) + stream.sent, size}, end);
    ASSERT_LE(sent, size);
    ASSERT_EQ(sent < size, stream.codec.blocked);
    stream.sent += sent;
    if (sent < left) return;
    if (!message.trailers.empty()) session_.send_headers(stream.codec, list_of(message.trailers), true);
    stream.ended = true;
    ASSERT_TRUE(stream.codec.local_closed);
  }

  bool server_;
  const std::vector<Plan>& plans_;
  Random& random_;
  const Http2Settings settings_;
  ChunkPool chunks_;
  ByteQueue output_{chunks_};
  HeaderList scratch_;
  Http2Session session_;
  std::map<uint32_t, std::unique_ptr<Stream>> streams_;
  Bytes unread_;
};

}  // namespace sluice::l7
