// How an HTTP/1 session reads bodies, and what it does with one that nobody wants.
#include "dataplane/l7/http1_session.h"

namespace sluice::l7 {
namespace {

using Kind = CodecEvent::Kind;

CodecEvent none() {
  return {};
}

}  // namespace

CodecEvent Http1Session::on_body(std::span<const uint8_t>& input) {
  if (reading_ == Reading::kChunks) return on_chunks(input);
  if (reading_ == Reading::kTrailers) return on_trailers(input);
  auto data = input;
  bool end = false;
  if (reading_ == Reading::kLength) {
    data = input.first(static_cast<size_t>(std::min<uint64_t>(input.size(), body_left_)));
    body_left_ -= data.size();
    end = body_left_ == 0;
  }
  input = input.subspan(data.size());
  return on_data(data, end);
}

CodecEvent Http1Session::on_chunks(std::span<const uint8_t>& input) {
  const Http1ChunkReader::Piece piece = chunks_.next(input);
  if (piece.error != nullptr) return broken(piece.error);
  if (piece.last) {
    reading_ = Reading::kTrailers;
    scanned_ = 0;
  }
  return piece.data.empty() ? none() : on_data(piece.data, false);
}

CodecEvent Http1Session::on_trailers(std::span<const uint8_t>& input) {
  const std::string_view text = head_text(input);
  const HeadEnd end = find_head_end(text, std::min<size_t>(scanned_, text.size()));
  if (end.state == HeadEnd::State::kBad) return broken("line feed without a carriage return");
  if (end.state == HeadEnd::State::kMore) {
    scanned_ = static_cast<uint32_t>(end.at);
    return text.size() < settings_.max_head_size
               ? none()
               : broken("trailers larger than the limit", Defence::kLargeHeaders);
  }
  scanned_ = 0;
  input = input.subspan(end.at);
  if (const char* error = parse_trailers(text.substr(0, end.at), settings_, scratch_)) return broken(error);
  if (discarding_ || scratch_.empty()) return on_data({}, true);
  CodecEvent event = event_of_stream(Kind::kTrailers);
  event.end_stream = true;
  close_remote();
  return event;
}

CodecEvent Http1Session::on_data(std::span<const uint8_t> data, bool end) {
  expect_continue_ = false;
  if (discarding_) return discard(data.size(), end);
  unconsumed_ += data.size();
  CodecEvent event = event_of_stream(Kind::kData);
  event.data = data;
  event.end_stream = end;
  if (end) close_remote();
  return event;
}

CodecEvent Http1Session::discard(size_t size, bool end) {
  if (size > discard_left_) {
    discarding_ = false;
    end_connection();
    return none();
  }
  discard_left_ -= size;
  if (end) {
    discarding_ = false;
    reading_ = persistent_ ? Reading::kHead : Reading::kOver;
  }
  return none();
}

}  // namespace sluice::l7
