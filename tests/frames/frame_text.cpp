#include "tests/frames/frame_text.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <functional>
#include <map>
#include <stdexcept>

namespace sluice::l7 {
namespace {

using Names = std::vector<std::pair<std::string_view, unsigned>>;

const Names kTypes = {{"DATA", 0},          {"HEADERS", 1},      {"PRIORITY", 2}, {"RST_STREAM", 3},
                      {"SETTINGS", 4},      {"PUSH_PROMISE", 5}, {"PING", 6},     {"GOAWAY", 7},
                      {"WINDOW_UPDATE", 8}, {"CONTINUATION", 9}};
const Names kSettings = {{"HEADER_TABLE_SIZE", 1},      {"ENABLE_PUSH", 2},    {"MAX_CONCURRENT_STREAMS", 3},
                         {"INITIAL_WINDOW_SIZE", 4},    {"MAX_FRAME_SIZE", 5}, {"MAX_HEADER_LIST_SIZE", 6},
                         {"ENABLE_CONNECT_PROTOCOL", 8}};

std::optional<unsigned> number_named(const Names& names, std::string_view name) {
  for (const auto& [known, number] : names) {
    if (known == name) return number;
  }
  return std::nullopt;
}

std::string name_numbered(const Names& names, unsigned number) {
  for (const auto& [known, its_number] : names) {
    if (its_number == number) return std::string(known);
  }
  return fmt::format("{:#x}", number);
}

const std::map<std::string, TestFields> kShort = {
    {"@get", {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}}},
    {"@post", {{":method", "POST"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}}},
    {"@head", {{":method", "HEAD"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}}},
    {"@ok", {{":status", "200"}}},
};

class LineReader {
 public:
  explicit LineReader(std::string_view line) : line_(line) {}

  bool done() {
    while (at_ < line_.size() && line_[at_] == ' ') ++at_;
    return at_ == line_.size();
  }
  Word word() {
    Word word;
    word.quoted = line_[at_] == '"';
    word.key = part("= ");
    if (at_ < line_.size() && line_[at_] == '=') {
      ++at_;
      word.value = part(" ");
      word.quoted = false;
    }
    return word;
  }

 private:
  std::string part(std::string_view ends) {
    std::string text;
    while (at_ < line_.size() && ends.find(line_[at_]) == std::string_view::npos) {
      if (line_[at_] == '"') {
        text += quoted_part();
      } else {
        text.push_back(line_[at_++]);
      }
    }
    return text;
  }
  std::string quoted_part() {
    std::string text;
    for (++at_;; ++at_) {
      if (at_ >= line_.size()) throw std::runtime_error("a quote that does not end");
      if (line_[at_] == '"') break;
      text.push_back(line_[at_] == '\\' ? escaped() : line_[at_]);
    }
    ++at_;
    if (at_ >= line_.size() || line_[at_] != '*') return text;
    const size_t from = ++at_;
    while (at_ < line_.size() && std::isdigit(line_[at_]) != 0) ++at_;
    std::string repeated;
    for (uint64_t left = number_of(line_.substr(from, at_ - from)); left > 0; --left) repeated += text;
    return repeated;
  }
  char escaped() {
    switch (line_.at(++at_)) {
      case 'r':
        return '\r';
      case 'n':
        return '\n';
      case 't':
        return '\t';
      case 'x': {
        at_ += 2;
        return static_cast<char>(std::stoi(std::string(line_.substr(at_ - 1, 2)), nullptr, 16));
      }
      default:
        return line_[at_];
    }
  }

  std::string_view line_;
  size_t at_ = 0;
};

void put16(Bytes& out, uint64_t value) {
  out.push_back(static_cast<uint8_t>(value >> 8));
  out.push_back(static_cast<uint8_t>(value));
}
void put32(Bytes& out, uint64_t value) {
  put16(out, value >> 16);
  put16(out, value);
}
void put_text(Bytes& out, std::string_view text) {
  out.insert(out.end(), text.begin(), text.end());
}

Bytes from_hex(std::string_view text) {
  Bytes bytes;
  for (size_t at = 0; at + 1 < text.size(); at += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoi(std::string(text.substr(at, 2)), nullptr, 16)));
  }
  return bytes;
}

// The plainest representation there is; tests of others give the block's bytes.
void put_field(Bytes& block, const TestField& field) {
  block.push_back(0);
  for (const std::string& text : {field.name, field.value}) {
    size_t size = text.size();
    if (size < 127) {
      block.push_back(static_cast<uint8_t>(size));
    } else {
      block.push_back(127);
      for (size -= 127; size >= 128; size >>= 7) block.push_back(static_cast<uint8_t>(size | 128));
      block.push_back(static_cast<uint8_t>(size));
    }
    put_text(block, text);
  }
}

// What the words behind a frame's type say.
struct Options {
  std::map<std::string, uint64_t> numbers;
  std::vector<std::string> bare;
  TestFields fields;
  std::optional<std::string> text;
  std::optional<Bytes> block;
};

constexpr std::array<std::string_view, 9> kNumbers = {"PAD",  "pad_length", "size", "stream",  "flags",
                                                      "type", "last",       "to",   "promised"};

Options options_of(const std::vector<Word>& words, size_t at) {
  Options options;
  for (; at < words.size(); ++at) {
    const Word& word = words[at];
    if (word.quoted) {
      options.text = word.key;
    } else if (!word.value) {
      options.bare.push_back(word.key);
    } else if (std::find(kNumbers.begin(), kNumbers.end(), word.key) != kNumbers.end()) {
      options.numbers[word.key] = number_of(*word.value);
    } else if (word.key == "block") {
      options.block = from_hex(*word.value);
    } else {
      options.fields.push_back({word.key, *word.value});
    }
  }
  return options;
}

uint32_t setting_named(const std::string& name) {
  const auto known = number_named(kSettings, name);
  return known ? *known : static_cast<uint32_t>(number_of(name));
}

void put_header_block(Frame& frame, const Options& options) {
  frame.fields = options.fields;
  if (options.block) frame.payload.insert(frame.payload.end(), options.block->begin(), options.block->end());
  for (const TestField& field : frame.fields) put_field(frame.payload, field);
}

void put_payload(Frame& frame, const Options& options, const std::vector<std::string>& arguments) {
  const auto argument = [&arguments](size_t at) -> const std::string& {
    if (at >= arguments.size()) throw std::runtime_error("a frame lacks a word");
    return arguments[at];
  };
  switch (frame.type) {
    case FrameType::kHeaders:
    case FrameType::kContinuation:
      put_header_block(frame, options);
      return;
    case FrameType::kPriority:
      put32(frame.payload, 0);
      frame.payload.push_back(15);
      return;
    case FrameType::kRstStream:
      put32(frame.payload, static_cast<uint32_t>(error_named(argument(0))));
      return;
    case FrameType::kSettings:
      for (const TestField& entry : options.fields) {
        put16(frame.payload, setting_named(entry.name));
        put32(frame.payload, number_of(entry.value));
      }
      return;
    case FrameType::kPushPromise:
      put32(frame.payload, options.numbers.at("promised"));
      put_header_block(frame, options);
      return;
    case FrameType::kPing:
      put_text(frame.payload, options.text.value_or("12345678"));
      return;
    case FrameType::kGoAway:
      put32(frame.payload, options.numbers.at("last"));
      put32(frame.payload, static_cast<uint32_t>(error_named(argument(0))));
      put_text(frame.payload, options.text.value_or(""));
      return;
    case FrameType::kWindowUpdate:
      put32(frame.payload, number_of(argument(0)));
      return;
    default:
      put_text(frame.payload, options.text.value_or(""));
  }
}

constexpr bool stands_on_a_stream(FrameType type) {
  return type != FrameType::kSettings && type != FrameType::kPing && type != FrameType::kGoAway;
}

void pad(Frame& frame, const Options& options) {
  const auto padding = options.numbers.find("PAD");
  const auto length = options.numbers.find("pad_length");
  if (padding == options.numbers.end() && length == options.numbers.end()) return;
  const uint64_t bytes = padding == options.numbers.end() ? 0 : padding->second;
  frame.flags |= frame_flag::kPadded;
  frame.payload.insert(frame.payload.begin(),
                       static_cast<uint8_t>(length == options.numbers.end() ? bytes : length->second));
  frame.payload.insert(frame.payload.end(), bytes, 0);
}

}  // namespace

std::vector<Word> words_of(std::string_view line) {
  std::vector<Word> words;
  LineReader reader(line);
  while (!reader.done()) {
    Word word = reader.word();
    const auto expansion = kShort.find(word.key);
    if (expansion == kShort.end()) {
      words.push_back(std::move(word));
      continue;
    }
    for (const TestField& field : expansion->second) words.push_back({field.name, field.value});
  }
  return words;
}

uint64_t number_of(std::string_view text) {
  uint64_t number = 0;
  const bool hex = text.starts_with("0x");
  const std::string_view digits = hex ? text.substr(2) : text;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), number, hex ? 16 : 10);
  if (parsed.ec != std::errc{} || parsed.ptr != digits.data() + digits.size() || digits.empty())
    throw std::runtime_error(fmt::format("no number: {}", text));
  return number;
}

Http2Error error_named(std::string_view name) {
  for (uint32_t code = 0; code < 14; ++code) {
    if (name_of(static_cast<Http2Error>(code)) == name) return static_cast<Http2Error>(code);
  }
  return static_cast<Http2Error>(number_of(name));
}

Frame frame_of(const std::vector<Word>& words, size_t at) {
  const std::string& type = words.at(at).key;
  Options options = options_of(words, at + 1);
  Frame frame;
  if (type == "FRAME") {
    frame.type = static_cast<FrameType>(options.numbers.at("type"));
  } else {
    const auto known = number_named(kTypes, type);
    if (!known) throw std::runtime_error("no frame type: " + type);
    frame.type = static_cast<FrameType>(*known);
  }
  if (frame.type == FrameType::kHeaders || frame.type == FrameType::kContinuation ||
      frame.type == FrameType::kPushPromise) {
    frame.flags |= frame_flag::kEndHeaders;
  }
  bool priority = false;
  std::vector<std::string> arguments;
  for (const std::string& word : options.bare) {
    if (word == "END_STREAM" || word == "ACK") {
      frame.flags |= frame_flag::kEndStream;
    } else if (word == "NO_END_HEADERS") {
      frame.flags &= static_cast<uint8_t>(~frame_flag::kEndHeaders);
    } else if (word == "PRIORITY") {
      priority = true;
    } else {
      arguments.push_back(word);
    }
  }
  if (stands_on_a_stream(frame.type) && type != "FRAME") {
    if (arguments.empty()) throw std::runtime_error("a frame without a stream number");
    frame.stream = static_cast<uint32_t>(number_of(arguments.front()));
    arguments.erase(arguments.begin());
  }
  put_payload(frame, options, arguments);
  if (priority) {
    frame.flags |= frame_flag::kPriority;
    const Bytes fields = {0, 0, 0, 0, 15};
    frame.payload.insert(frame.payload.begin(), fields.begin(), fields.end());
  }
  pad(frame, options);
  if (options.numbers.contains("flags")) frame.flags |= static_cast<uint8_t>(options.numbers["flags"]);
  if (options.numbers.contains("stream")) frame.stream = static_cast<uint32_t>(options.numbers["stream"]);
  if (options.numbers.contains("size")) frame.payload.resize(options.numbers["size"]);
  return frame;
}

Bytes bytes_of(const Frame& frame) {
  Bytes bytes(kFrameHeaderBytes);
  write_frame_header({static_cast<uint32_t>(frame.payload.size()), frame.type, frame.flags, frame.stream},
                     bytes.data());
  bytes.insert(bytes.end(), frame.payload.begin(), frame.payload.end());
  return bytes;
}

std::vector<Frame> FrameReader::read(std::span<const uint8_t> bytes) {
  std::vector<Frame> frames;
  while (!bytes.empty()) {
    if (bytes.size() < kFrameHeaderBytes) throw std::runtime_error("half a frame header was sent");
    const FrameHeader header = read_frame_header(bytes.data());
    bytes = bytes.subspan(kFrameHeaderBytes);
    if (bytes.size() < header.length) throw std::runtime_error("half a frame was sent");
    Frame frame{header.type, header.flags, header.stream,
                Bytes(bytes.begin(), bytes.begin() + header.length)};
    bytes = bytes.subspan(header.length);
    if (header.type == FrameType::kHeaders || header.type == FrameType::kContinuation) {
      block_.insert(block_.end(), frame.payload.begin(), frame.payload.end());
      if ((header.flags & frame_flag::kEndHeaders) != 0) {
        const auto fields = inflater_.decode(block_);
        if (!fields) throw std::runtime_error("nghttp2 cannot read the header block that was sent");
        frame.fields = *fields;
        block_.clear();
      }
    }
    frames.push_back(std::move(frame));
  }
  return frames;
}

std::string in_quotes(std::string_view text) {
  constexpr size_t kShown = 60;
  std::string shown = fmt::format("\"{}\"", text.substr(0, kShown));
  if (text.size() > kShown) {
    shown += fmt::format("... ({} bytes, hash {:x})", text.size(), std::hash<std::string_view>()(text));
  }
  return shown;
}

std::string text_of(const TestFields& fields) {
  std::string text;
  for (const TestField& field : fields) text += fmt::format(" {}={}", field.name, in_quotes(field.value));
  return text;
}

std::string text_of(const Frame& frame) {
  std::string text = name_numbered(kTypes, static_cast<unsigned>(frame.type));
  if (stands_on_a_stream(frame.type) || frame.stream != 0) text += fmt::format(" {}", frame.stream);
  const bool blocks = frame.type == FrameType::kHeaders || frame.type == FrameType::kContinuation;
  if (frame.type == FrameType::kSettings || frame.type == FrameType::kPing) {
    if ((frame.flags & frame_flag::kAck) != 0) text += " ACK";
  } else if ((frame.flags & frame_flag::kEndStream) != 0) {
    text += " END_STREAM";
  }
  if (blocks && (frame.flags & frame_flag::kEndHeaders) == 0) text += " NO_END_HEADERS";
  const uint8_t* at = frame.payload.data();
  const size_t size = frame.payload.size();
  const std::string_view payload(reinterpret_cast<const char*>(at), size);
  switch (frame.type) {
    case FrameType::kHeaders:
    case FrameType::kContinuation:
      return text + text_of(frame.fields);
    case FrameType::kRstStream:
      return size == 4 ? fmt::format("{} {}", text, name_of(static_cast<Http2Error>(read32(at))))
                       : text + " ?";
    case FrameType::kWindowUpdate:
      return size == 4 ? fmt::format("{} {}", text, read32(at)) : text + " ?";
    case FrameType::kGoAway:
      return size >= 8 ? fmt::format("{} last={} {}", text, read32(at),
                                     name_of(static_cast<Http2Error>(read32(at + 4))))
                       : text + " ?";
    case FrameType::kSettings:
      for (size_t i = 0; i + 6 <= size; i += 6) {
        text += fmt::format(" {}={}", name_numbered(kSettings, read16(at + i)), read32(at + i + 2));
      }
      return text;
    default:
      return text + " " + in_quotes(payload);
  }
}

}  // namespace sluice::l7
