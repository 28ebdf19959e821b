#include "tests/frames/happenings.h"

#include <fmt/format.h>

#include <stdexcept>

namespace sluice::l7 {

void Happenings::add_frames(std::vector<Frame> read) {
  std::vector<Frame> frames;
  for (Frame& frame : read) {
    Frame* before = frames.empty() ? nullptr : &frames.back();
    if (before != nullptr && frame.type == FrameType::kData && before->type == FrameType::kData &&
        before->stream == frame.stream && before->flags == 0) {
      before->payload.insert(before->payload.end(), frame.payload.begin(), frame.payload.end());
      before->flags = frame.flags;
    } else {
      frames.push_back(std::move(frame));
    }
  }
  for (const Frame& frame : frames) {
    const std::string full = text_of(frame);
    std::string reason;
    if (frame.type == FrameType::kGoAway) reason.assign(frame.payload.begin() + 8, frame.payload.end());
    frames_.push_back({full.substr(0, full.find(" last=")), full, reason});
  }
}

void Happenings::add_event(std::string brief, std::string full, std::string reason) {
  events_.push_back({std::move(brief), std::move(full), std::move(reason)});
}

void Happenings::add_data(uint32_t stream, std::span<const uint8_t> data, bool end_stream) {
  const std::string id = fmt::format("data {} ", stream);
  const bool goes_on =
      !events_.empty() && events_.back().reason == "(open)" && events_.back().brief.starts_with(id);
  if (!goes_on) {
    data_text_.clear();
    events_.push_back({});
  }
  data_text_.append(data.begin(), data.end());
  events_.back() = {id + in_quotes(data_text_) + (end_stream ? " END_STREAM" : ""), "",
                    end_stream ? "" : "(open)"};
}

void Happenings::clear() {
  frames_.clear();
  events_.clear();
}

void Happenings::match(std::deque<Seen>& seen, const char* what, const std::string& expected,
                       const std::string& reason) {
  if (seen.empty()) throw std::runtime_error(fmt::format("expected {} {}, got nothing", what, expected));
  const Seen got = seen.front();
  seen.pop_front();
  if (expected != got.brief && expected != got.full) {
    throw std::runtime_error(
        fmt::format("expected {} {}, got {} ({}) {}", what, expected, got.brief, got.full, got.reason));
  }
  if (got.reason.find(reason) == std::string::npos) {
    throw std::runtime_error(fmt::format("{} {} for another reason: {}", what, expected, got.reason));
  }
}

void Happenings::expect_frame(const std::string& expected, const std::string& reason) {
  match(frames_, "frame", expected, reason);
}

void Happenings::expect_event(const std::string& expected, const std::string& reason) {
  match(events_, "event", expected, reason);
}

void Happenings::expect_event(const std::vector<Word>& words, size_t from) {
  std::string expected;
  std::string reason;
  const std::string& kind = words.at(from).key;
  const bool gives_reason = kind == "reset" || kind == "malformed" || kind == "fatal";
  for (size_t i = from; i < words.size(); ++i) {
    const Word& word = words[i];
    if (word.quoted && gives_reason) {
      reason = word.key;
      continue;
    }
    if (i != from) expected += ' ';
    expected += word.quoted  ? in_quotes(word.key)
                : word.value ? word.key + "=" + in_quotes(*word.value)
                             : word.key;
  }
  expect_event(expected, reason);
}

const std::string& Happenings::next_frame() const {
  if (frames_.empty()) throw std::runtime_error("no frame is written");
  return frames_.front().full;
}

void Happenings::nothing_left() const {
  for (const auto* seen : {&frames_, &events_}) {
    if (!seen->empty()) {
      throw std::runtime_error(fmt::format("{} not expected: {} {} {}", seen == &frames_ ? "frame" : "event",
                                           seen->front().brief, seen->front().full, seen->front().reason));
    }
  }
}

}  // namespace sluice::l7
