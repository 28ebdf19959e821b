// Any bytes as an HTTP/1.1 connection. What the session makes of them does not depend on the pieces in which
// they come; every head that it lets through is well-formed; and what it writes for another server or client
// is read there as the same messages, no more and no less: nothing is smuggled.
//
// Input: one byte of options, one for the pieces' size, then the bytes.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/l7/http1_session.h"
#include "dataplane/l7/message_rules.h"
#include "tests/unit/http1_script.h"

namespace {

using namespace sluice::l7;
using Kind = CodecEvent::Kind;

void require(bool holds) {
  if (!holds) __builtin_trap();
}

struct Options {
  bool client;     // the bytes are responses
  uint8_t method;  // of the request that they answer
  Http1Settings settings;
  size_t step;
};

const Fields kRequests[] = {
    {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}},
    {{":method", "HEAD"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}},
    {{":method", "CONNECT"}, {":authority", "a:1"}},
};

std::string events_of(std::string_view bytes, const Options& options, size_t step) {
  Http1Script script(options.client ? Role::kClient : Role::kServer, options.settings);
  script.answers = !options.client;
  if (options.client) script.open(kRequests[options.method], options.method != 2);
  script.feed(bytes, step);
  script.eof();
  if (script.session.wants_close()) require(!script.stream.attached && !script.session.can_open());
  return script.take_events();
}

/// What a message says, but for what changes on its way: cookies are joined, lengths added.
std::string summary(const HeaderList& fields) {
  std::string text;
  for (const HeaderList::Field& field : fields.fields()) {
    using enum HeaderToken;
    require(field.token < kConnection || field.token > kHttp2Settings);
    if (field.token == kCookie || field.token == kTe || field.token == kContentLength ||
        field.token == kScheme)
      continue;
    text.append(fields.name(field)).append("=").append(fields.value(field)).append("|");
  }
  return text;
}

/// One session, and what it says of the bytes: a line for each message that came whole. Requests are written
/// anew for the next server, responses for the next client.
class Relay {
 public:
  explicit Relay(const Options& options)
      : options_(options),
        reader_(options.client ? Role::kClient : Role::kServer, options.settings, output_, fields_) {}

  /// The request that is to be answered.
  void open() {
    const HeaderList request = list_of(kRequests[options_.method]);
    reader_.open(stream_, nullptr, request, options_.method != 2, options_.method == 1);
  }

  void read(std::string_view bytes) {
    std::span<const uint8_t> input = bytes_of(bytes);
    while (!over_) {
      const CodecEvent event = reader_.next(input);
      if (event.kind == Kind::kNone) break;
      take(event);
    }
    if (over_) return;
    const CodecEvent event = reader_.on_eof();
    if (event.kind != Kind::kNone) take(event);
  }

  std::vector<std::string> messages;
  std::string written;  ///< the same messages, as this side writes them
  bool refused = false;

 private:
  void take(const CodecEvent& event) {
    switch (event.kind) {
      case Kind::kHead:
        on_head(event);
        break;
      case Kind::kInformational:
        require(check_response(fields_).error == nullptr);
        message_ += "informational " + summary(fields_);
        begin_response();
        writer_->session.send_headers(writer_->stream, fields_, false);
        break;
      case Kind::kData:
        body_.append(event.data.begin(), event.data.end());
        if (writer_)
          require(writer_->session.send_data(writer_->stream, event.data, event.end_stream) ==
                  event.data.size());
        break;
      case Kind::kTrailers:
        require(check_trailers(fields_) == nullptr);
        if (writer_) writer_->session.send_headers(writer_->stream, fields_, true);
        trailers_ = "trailers " + summary(fields_);
        break;
      default:
        over_ = refused = true;
        return;
    }
    if (event.end_stream && !over_) finish();
  }

  void on_head(const CodecEvent& event) {
    if (event.head.error != nullptr) {
      over_ = refused = true;
      return;
    }
    if (event.head.connect || event.head.status == 101 ||
        (options_.method == 2 && event.head.status < 300 && options_.client)) {
      over_ = true;  // a tunnel: nothing is read any more
      return;
    }
    const MessageHead checked = options_.client ? check_response(fields_) : check_request(fields_);
    require(checked.error == nullptr);
    message_ += summary(fields_);
    if (options_.client) {
      begin_response();
      writer_->session.send_headers(writer_->stream, fields_, event.end_stream);
    } else {
      reader_.accept(event.stream_id, stream_, nullptr);
      writer_ = std::make_unique<Http1Script>(Role::kClient);
      writer_->session.open(writer_->stream, nullptr, fields_, event.end_stream, event.head.head_method);
    }
  }

  void begin_response() {
    if (writer_) return;
    writer_ = std::make_unique<Http1Script>(Role::kServer);
    writer_->feed(options_.method == 1 ? "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
                                       : "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  }

  void finish() {
    written += writer_->written();
    writer_.reset();
    messages.push_back(message_ + "\n" + body_ + "\n" + trailers_);
    message_.clear();
    body_.clear();
    trailers_.clear();
    if (options_.client) {
      over_ = true;
    } else {
      reader_.send_headers(stream_, list_of({{":status", "204"}}), true);
      if (reader_.wants_close()) over_ = true;
    }
  }

  const Options& options_;
  ChunkPool chunks_;
  ByteQueue output_{chunks_};
  HeaderList fields_;
  Http1Session reader_;
  CodecStream stream_;
  std::unique_ptr<Http1Script> writer_;
  std::string message_;
  std::string body_;
  std::string trailers_;
  bool over_ = false;
};

void check_relay(std::string_view bytes, const Options& options) {
  Relay first(options);
  if (options.client) first.open();
  first.read(bytes);
  if (first.messages.empty()) return;
  Options plain = options;
  plain.settings = {};
  Relay second(plain);
  if (options.client) second.open();
  second.read(first.written);
  require(!second.refused);
  require(second.messages == first.messages);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return -1;
  Options options;
  options.client = (data[0] & 1) != 0;
  options.settings.connect = (data[0] & 2) != 0;
  options.settings.h2c = (data[0] & 4) != 0;
  options.settings.secure = (data[0] & 8) != 0;
  if ((data[0] & 16) != 0) options.settings.max_head_size = 200;
  options.method = static_cast<uint8_t>((data[0] >> 5) % 3);
  options.step = data[1] % 32 + 1u;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);

  const std::string whole = events_of(bytes, options, 0);
  require(events_of(bytes, options, options.step) == whole);
  check_relay(bytes, options);
  return 0;
}
