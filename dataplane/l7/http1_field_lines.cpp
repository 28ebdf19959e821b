#include "dataplane/l7/http1_field_lines.h"

#include <algorithm>

#include "dataplane/l7/field_text.h"
#include "dataplane/l7/message_rules.h"

namespace sluice::l7 {
namespace {

// More options of Connection than this have no use; each is compared with each field's name.
constexpr size_t kMaxConnectionOptions = 32;
constexpr size_t kMaxNameSize = 1024;

}  // namespace

std::string_view take_line(std::string_view& text) {
  const size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end - 1);
  text.remove_prefix(end + 1);
  return line;
}

bool FieldReader::read(std::string_view lines) {
  for (std::string_view line = take_line(lines); !line.empty(); line = take_line(lines)) {
    if (++lines_ > limits_.fields) return fail("more fields than the limit", 431);
    if (!read_line(line)) return false;
    if (fields_.list_size() > limits_.list_size) return fail("more fields than the limit", 431);
  }
  if (into_.chunked && content_length_seen_) return fail("content-length with transfer-encoding");
  if (into_.chunked && into_.version_1_0) return fail("transfer-encoding in HTTP/1.0");
  remove_listed();
  return true;
}

bool FieldReader::fail(const char* why, uint16_t status) {
  into_.head.error = why;
  into_.head.status = status;
  return false;
}

bool FieldReader::read_line(std::string_view line) {
  if (is_blank(line.front())) return fail("folded field line");
  std::array<char, kMaxNameSize> lowered;
  size_t size = 0;
  while (size < line.size() && size < lowered.size()) {
    const char c = kLowerToken[static_cast<uint8_t>(line[size])];
    if (c == 0) break;
    lowered[size++] = c;
  }
  if (size == lowered.size()) return fail("field name longer than the limit", 431);
  if (size == line.size()) return fail("field line without a colon");
  if (line[size] != ':') {
    return fail(is_blank(line[size]) ? "white space before a field's colon"
                                     : "field name with characters that are not allowed");
  }
  if (size == 0) return fail("field without a name");
  const std::string_view value = trimmed(line.substr(size + 1));
  if (has_control_character(value)) return fail("field value with characters that are not allowed");
  const std::string_view name(lowered.data(), size);
  return take(token_of(name), name, value);
}

bool FieldReader::take(HeaderToken token, std::string_view name, std::string_view value) {
  using enum HeaderToken;
  hop_by_hop_seen_ |= token == kHost || (token >= kConnection && token <= kTe);
  switch (token) {
    case kHost:
      if (host_seen_) return fail("two host fields");
      host_seen_ = true;
      host_ = value;
      return true;
    case kContentLength:
      return take_content_length(value);
    case kTransferEncoding:
      return take_transfer_encoding(value);
    case kConnection:
      return take_connection(value);
    case kUpgrade:
      into_.upgrade_h2c |= list_has(value, "h2c");
      into_.upgrade_websocket |= list_has(value, "websocket");
      return true;
    case kHttp2Settings:
      // RFC 7540 section 3.2.1: exactly one, or there is no upgrade.
      into_.settings_payload = settings_seen_ ? std::string_view("?") : value;
      settings_seen_ = true;
      return true;
    case kKeepAlive:
    case kProxyConnection:
      return true;
    case kTe:
      if (list_has(value, "trailers") && !te_seen_) fields_.add(kTe, "trailers");
      te_seen_ = true;
      return true;
    case kExpect:
      // RFC 9110 section 10.1.1: from HTTP/1.0 it is to be ignored.
      if (into_.version_1_0) return true;
      into_.expect_continue |= equal_ignoring_case(value, "100-continue");
      break;
    case kOther:
      if (name == "sec-websocket-key" || name == "sec-websocket-accept") into_.websocket_key = value;
      break;
    default:
      break;
  }
  fields_.add(name, value, token);
  return true;
}

bool FieldReader::take_content_length(std::string_view value) {
  if (content_length_seen_) return fail("several content-lengths");
  content_length_seen_ = true;
  if (!parse_content_length(value)) {
    return is_number(value) ? fail("content-length beyond all bounds", 413)
                            : fail("content-length that is no number");
  }
  fields_.add(HeaderToken::kContentLength, value);
  return true;
}

// RFC 9112 section 6.1. Codings other than chunked exist in books only.
bool FieldReader::take_transfer_encoding(std::string_view value) {
  if (into_.chunked) return fail("several transfer-encodings");
  if (equal_ignoring_case(value, "chunked")) {
    into_.chunked = true;
    return true;
  }
  int chunked = 0;
  bool tokens = true;
  bool last_is_chunked = false;
  for_each_element(value, [&](std::string_view element) {
    last_is_chunked = equal_ignoring_case(element, "chunked");
    if (last_is_chunked) ++chunked;
    tokens &= is_token(element);
  });
  if (tokens && last_is_chunked && chunked == 1) return fail("transfer-encoding other than chunked", 501);
  return fail("transfer-encoding that does not end with chunked, or says it twice");
}

bool FieldReader::take_connection(std::string_view value) {
  if (connection_count_ == connections_.size()) return fail("too many connection fields");
  connections_[connection_count_++] = value;
  bool good = true;
  for_each_element(value, [&](std::string_view option) {
    good &= is_token(option) && ++options_ <= kMaxConnectionOptions;
    if (equal_ignoring_case(option, "close")) {
      into_.close = true;
    } else if (equal_ignoring_case(option, "keep-alive")) {
      into_.keep_alive = true;
    } else if (equal_ignoring_case(option, "upgrade")) {
      into_.upgrade = true;
    } else if (equal_ignoring_case(option, "http2-settings")) {
      into_.http2_settings = true;
    } else if (equal_ignoring_case(option, "host") || equal_ignoring_case(option, "content-length")) {
      // Whoever removed it would read another message than we did.
      good = false;
    } else if (!equal_ignoring_case(option, "te")) {
      others_listed_ = true;
    }
  });
  return good || fail("connection option that is not allowed");
}

// RFC 9110 section 7.6.1: what Connection names is for this connection only.
void FieldReader::remove_listed() {
  if (!others_listed_) return;
  fields_.remove_if([this](std::string_view name, std::string_view /*value*/) {
    return std::any_of(connections_.begin(), connections_.begin() + connection_count_,
                       [name](std::string_view list) { return list_has(list, name); });
  });
}

}  // namespace sluice::l7
