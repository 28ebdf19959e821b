#include "tests/frames/play.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <stdexcept>

#include "dataplane/l7/http2_session.h"
#include "tests/frames/happenings.h"

namespace sluice::l7 {
namespace {

using Kind = CodecEvent::Kind;

/// One session under test, its owner, and its peer.
class Play {
 public:
  explicit Play(bool byte_by_byte) : byte_by_byte_(byte_by_byte) {}

  /// Throws std::runtime_error with what is wrong.
  void run(const Case& play) {
    for (const Line& line : play.lines) {
      try {
        step(line.words);
      } catch (const std::exception& problem) {
        throw std::runtime_error(fmt::format("{}:{}: {}", play.file, line.number, problem.what()));
      }
    }
    try {
      happenings_.nothing_left();
    } catch (const std::exception& problem) {
      throw std::runtime_error(fmt::format("{}:{}: at its end: {}", play.file, play.line, problem.what()));
    }
  }

 private:
  void step(const std::vector<Word>& words) {
    const std::string& verb = words[0].key;
    const bool asks = verb == "peer" || verb == "do";
    if (asks && answered_) happenings_.nothing_left();
    answered_ = !asks;
    if (verb == "set") {
      set(words);
    } else if (verb == "server" || verb == "client") {
      begin(verb == "server" ? Http2Session::Role::kServer : Http2Session::Role::kClient, words);
    } else if (verb == "peer") {
      peer(words);
    } else if (verb == "do") {
      command(words);
    } else if (verb == "we") {
      const bool often = words.at(1).key.starts_with('*');
      for (uint64_t left = often ? number_of(words[1].key.substr(1)) : 1; left > 0; --left) {
        happenings_.expect_frame(text_of(frame_of(words, often ? 2 : 1)));
      }
    } else if (verb == "told") {
      const bool often = words.at(1).key.starts_with('*');
      for (uint64_t left = often ? number_of(words[1].key.substr(1)) : 1; left > 0; --left) {
        happenings_.expect_event(words, often ? 2 : 1);
      }
    } else if (verb == "ends") {
      ends(words);
    } else if (verb == "resets") {
      happenings_.expect_frame(fmt::format("RST_STREAM {} {}", words.at(1).key, words.at(2).key));
      std::vector<Word> event = words;
      event[0].key = "reset";
      happenings_.expect_event(event, 0);
    } else if (verb == "refuses") {
      std::vector<Word> event = words;
      event[0].key = "malformed";
      happenings_.expect_event(event, 0);
      happenings_.expect_frame(fmt::format("RST_STREAM {} {}", words.at(1).key, words.at(2).key));
    } else if (verb == "check") {
      check(words);
    } else {
      throw std::runtime_error("no such verb: " + verb);
    }
  }

  // --- the beginning

  void set(const std::vector<Word>& words) {
    for (size_t i = 1; i < words.size(); ++i) {
      const std::string& key = words[i].key;
      const auto value = number_of(words[i].value.value());
      if (key == "max_concurrent_streams") {
        settings_.max_concurrent_streams = static_cast<uint32_t>(value);
      } else if (key == "stream_window") {
        settings_.stream_window = static_cast<uint32_t>(value);
      } else if (key == "connection_window") {
        settings_.connection_window = static_cast<uint32_t>(value);
      } else if (key == "max_frame_size") {
        settings_.max_frame_size = static_cast<uint32_t>(value);
      } else if (key == "header_list_size") {
        settings_.headers.list_size = value;
      } else if (key == "header_fields") {
        settings_.headers.fields = value;
      } else if (key == "extended_connect") {
        settings_.extended_connect = value != 0;
      } else if (key == "malformed_ends_connection") {
        settings_.malformed_ends_connection = value != 0;
      } else if (key == "output_limit") {
        settings_.output_limit = value;
      } else if (key == "abuse_limit") {
        settings_.abuse_limit = static_cast<int32_t>(value);
      } else if (key == "cancel_limit") {
        settings_.cancel_limit = static_cast<int32_t>(value);
      } else {
        throw std::runtime_error("no such setting: " + key);
      }
    }
  }

  void begin(Http2Session::Role role, const std::vector<Word>& words) {
    session_ = std::make_unique<Http2Session>(role, settings_, output_, scratch_);
    session_->start();
    const bool raw = words.size() > 1 && words[1].key == "raw";
    if (role == Http2Session::Role::kClient) {
      const auto preface = take_output(kClientPreface.size());
      if (std::string(preface.begin(), preface.end()) != kClientPreface)
        throw std::runtime_error("no preface");
    }
    if (raw) {
      collect_output();
      return;
    }
    Bytes bytes;
    if (role == Http2Session::Role::kServer) bytes.assign(kClientPreface.begin(), kClientPreface.end());
    std::vector<Word> settings = words;
    settings[0].key = "SETTINGS";
    for (const Bytes& frame :
         {bytes_of(frame_of(settings, 0)), bytes_of(frame_of(words_of("SETTINGS ACK"), 0))}) {
      bytes.insert(bytes.end(), frame.begin(), frame.end());
    }
    feed(bytes);
    happenings_.clear();
  }

  // --- the peer

  void peer(const std::vector<Word>& words) {
    size_t at = 1;
    uint64_t times = 1;
    if (words.at(1).key.starts_with('*')) {
      times = number_of(words[1].key.substr(1));
      at = 2;
    }
    Bytes bytes;
    if (words.at(at).key == "RAW") {
      const std::string& text = words.at(at + 1).key;
      bytes.assign(text.begin(), text.end());
    } else if (words[at].key == "PREFACE") {
      bytes.assign(kClientPreface.begin(), kClientPreface.end());
    } else {
      const Frame frame = frame_of(words, at);
      // With `to`, the frame again for each of its streams.
      const bool series =
          std::any_of(words.begin(), words.end(), [](const Word& word) { return word.key == "to"; });
      if (series) {
        uint32_t last = 0;
        for (const Word& word : words) {
          if (word.key == "to") last = static_cast<uint32_t>(number_of(*word.value));
        }
        for (Frame one = frame; one.stream <= last; one.stream += 2) {
          const Bytes next = bytes_of(one);
          bytes.insert(bytes.end(), next.begin(), next.end());
        }
      } else {
        bytes = bytes_of(frame);
      }
    }
    for (const Word& word : words) {
      if (word.key == "HEADER_TABLE_SIZE") reader_.change_table_size(number_of(*word.value));
      if (word.key == "MAX_FRAME_SIZE") peer_max_frame_ = number_of(*word.value);
    }
    for (; times > 0; --times) feed(bytes);
  }

  void feed(const Bytes& bytes) {
    if (byte_by_byte_) {
      for (const uint8_t byte : bytes) offer({&byte, 1});
    } else {
      offer(bytes);
    }
    collect_output();
  }

  void offer(std::span<const uint8_t> bytes) {
    // Memory of its own, so that a step outside is found by the address sanitizer.
    unread_.insert(unread_.end(), bytes.begin(), bytes.end());
    const Bytes copy(unread_);
    std::span<const uint8_t> input(copy);
    while (true) {
      const CodecEvent event = session_->next(input);
      if (event.kind == Kind::kNone) break;
      take(event);
      if (event.kind == Kind::kFatal) dead_ = true;
    }
    if (dead_ && !input.empty()) throw std::runtime_error("a dead session leaves bytes unread");
    unread_.assign(input.begin(), input.end());
  }

  // --- the owner

  void take(const CodecEvent& event) {
    if (dead_) throw std::runtime_error("an event behind the end");
    const std::string end = event.end_stream ? " END_STREAM" : "";
    const std::string error(name_of(event.error));
    const std::string reason = event.reason == nullptr ? "" : event.reason;
    switch (event.kind) {
      case Kind::kHead:
        if (event.stream == nullptr && event.head.error != nullptr) {
          happenings_.add_event(fmt::format("malformed {} {}", event.stream_id, error), "", event.head.error);
          session_->refuse(event.stream_id, event.error);
          return;
        }
        with_fields(fmt::format("head {}{}", event.stream_id, end));
        if (event.stream == nullptr) session_->accept(event.stream_id, streams_[event.stream_id], this);
        return;
      case Kind::kInformational:
        with_fields(fmt::format("informational {}", event.stream_id));
        return;
      case Kind::kTrailers:
        if (!event.end_stream) throw std::runtime_error("trailers that do not end the stream");
        with_fields(fmt::format("trailers {}", event.stream_id));
        return;
      case Kind::kData:
        if (event.stream->owner != this) throw std::runtime_error("another owner");
        happenings_.add_data(event.stream_id, event.data, event.end_stream);
        return;
      case Kind::kReset:
        if (event.stream == nullptr || event.stream->attached)
          throw std::runtime_error("reset, but still there");
        happenings_.add_event(fmt::format("reset {} {}", event.stream_id, error), "", reason);
        return;
      case Kind::kWritable:
        happenings_.add_event(event.stream == nullptr ? "writable"
                                                      : fmt::format("writable {}", event.stream_id));
        return;
      case Kind::kSettings:
        happenings_.add_event("settings");
        return;
      case Kind::kGoAway:
        happenings_.add_event(fmt::format("goaway {} {}", event.stream_id, error));
        return;
      case Kind::kPong:
        happenings_.add_event("pong");
        return;
      case Kind::kFatal:
        happenings_.add_event(fmt::format("fatal {}", error), "", reason);
        return;
      case Kind::kNone:
        return;
    }
  }

  void with_fields(const std::string& brief) {
    happenings_.add_event(brief, brief + text_of(fields_of(session_->headers())));
  }

  void command(const std::vector<Word>& words) {
    const std::string& name = words.at(1).key;
    const auto number = [&words](size_t at) { return number_of(words.at(at).key); };
    const bool end =
        std::any_of(words.begin(), words.end(), [](const Word& word) { return word.key == "END_STREAM"; });
    if (name == "respond") {
      session_->send_headers(stream(number(2)), list_of(frame_of(headers(words, 2), 0).fields), end);
    } else if (name == "open") {
      const bool bodyless = std::any_of(words.begin(), words.end(), [](const Word& word) {
        return word.key == ":method" && word.value == "HEAD";
      });
      session_->open(streams_[next_open_], this, list_of(frame_of(headers(words, 1), 0).fields), end,
                     bodyless);
      next_open_ += 2;
    } else if (name == "send") {
      send(words, end);
    } else if (name == "consume") {
      session_->consumed(stream(number(2)), number(3));
    } else if (name == "reset") {
      session_->reset(stream(number(2)), error_named(words.at(3).key));
    } else if (name == "detach") {
      session_->detach(stream(number(2)));
    } else if (name == "ping") {
      session_->ping(0x3132333435363738);
    } else if (name == "announce_goaway") {
      session_->announce_goaway();
    } else if (name == "goaway") {
      session_->goaway(error_named(words.at(2).key));
    } else if (name == "forgive") {
      session_->forgive(static_cast<int32_t>(number(2)), static_cast<int32_t>(number(3)));
    } else if (name == "withhold") {
      session_->withhold_window(number(2) != 0);
    } else if (name == "hold") {  // the peer reads nothing
      held_ = true;
    } else if (name == "release") {
      held_ = false;
    } else {
      throw std::runtime_error("no such command: " + name);
    }
    collect_output();
  }

  // The words as those of a HEADERS frame.
  static std::vector<Word> headers(const std::vector<Word>& words, size_t from) {
    std::vector<Word> frame(words.begin() + static_cast<ptrdiff_t>(from), words.end());
    if (from == 1) frame[0] = {"1"};
    frame.insert(frame.begin(), Word{"HEADERS"});
    return frame;
  }

  void send(const std::vector<Word>& words, bool end) {
    std::string text;
    std::optional<uint64_t> takes;
    for (const Word& word : words) {
      if (word.quoted) text = word.key;
      if (word.key == "takes") takes = number_of(*word.value);
    }
    const size_t taken =
        session_->send_data(stream(number_of(words.at(2).key)),
                            {reinterpret_cast<const uint8_t*>(text.data()), text.size()}, end);
    if (taken != takes.value_or(text.size())) throw std::runtime_error(fmt::format("took {} bytes", taken));
  }

  CodecStream& stream(uint64_t id) {
    const auto found = streams_.find(static_cast<uint32_t>(id));
    if (found == streams_.end()) throw std::runtime_error("no such stream");
    return found->second;
  }

  void check(const std::vector<Word>& words) {
    const std::string& what = words.at(1).key;
    const auto expect = [](const auto& got, const auto& expected) {
      if (got != expected) throw std::runtime_error(fmt::format("it is {}", got));
    };
    if (what == "can_open") {
      expect(std::string(session_->can_open() ? "yes" : "no"), words.at(2).key);
    } else if (what == "open_streams") {
      expect(session_->open_streams(), number_of(words.at(2).key));
    } else if (what == "extended_connect") {
      expect(std::string(session_->peer_extended_connect().value_or(false) ? "yes" : "no"), words.at(2).key);
    } else if (what == "attached") {
      expect(std::string(stream(number_of(words.at(2).key)).attached ? "yes" : "no"), words.at(3).key);
    } else if (what == "output_below") {
      if (output_.size() >= number_of(words.at(2).key))
        throw std::runtime_error(fmt::format("{} bytes wait", output_.size()));
    } else {
      throw std::runtime_error("no such check: " + what);
    }
  }

  // --- what came of it

  Bytes take_output(size_t size) {
    Bytes bytes;
    while (bytes.size() < size && !output_.empty()) {
      const auto front = output_.front();
      const size_t piece = std::min(front.size(), size - bytes.size());
      bytes.insert(bytes.end(), front.begin(), front.begin() + static_cast<ptrdiff_t>(piece));
      output_.consume(piece);
    }
    return bytes;
  }

  void collect_output() {
    if (held_) return;
    std::vector<Frame> frames = reader_.read(take_output(output_.size()));
    for (const Frame& frame : frames) {
      if (frame.payload.size() > peer_max_frame_)
        throw std::runtime_error("a frame larger than the peer takes");
    }
    happenings_.add_frames(std::move(frames));
  }

  void ends(const std::vector<Word>& words) {
    std::string reason;
    std::string last;
    for (const Word& word : words) {
      if (word.quoted) reason = word.key;
      if (word.key == "last") last = *word.value;
    }
    const std::string& error = words.at(1).key;
    const std::string got = happenings_.next_frame();
    if (!got.ends_with(" " + error)) throw std::runtime_error("it ends with " + got);
    happenings_.expect_frame(last.empty() ? got : fmt::format("GOAWAY last={} {}", last, error), reason);
    happenings_.expect_event("fatal " + error, reason);
    // Whatever comes now is not read.
    feed(Bytes(100, 0));
    happenings_.nothing_left();
  }

  bool byte_by_byte_;
  Http2Settings settings_;
  ChunkPool chunks_;
  ByteQueue output_{chunks_};
  HeaderList scratch_;
  std::unique_ptr<Http2Session> session_;
  std::map<uint32_t, CodecStream> streams_;
  uint32_t next_open_ = 1;
  FrameReader reader_;
  Bytes unread_;
  Happenings happenings_;
  size_t peer_max_frame_ = kMinMaxFrameSize;
  bool answered_ = false;
  bool held_ = false;
  bool dead_ = false;
};

}  // namespace

void run_case(const Case& play, bool byte_by_byte) {
  Play(byte_by_byte).run(play);
}

}  // namespace sluice::l7
