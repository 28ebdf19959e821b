#include "dataplane/l7/message_rules.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <charconv>

#include "dataplane/l7/field_text.h"

namespace sluice::l7 {
namespace {

using enum HeaderToken;

constexpr std::array<bool, 256> make_name_characters() {
  std::array<bool, 256> allowed{};
  for (int c = 'a'; c <= 'z'; ++c) allowed[static_cast<size_t>(c)] = true;
  for (int c = '0'; c <= '9'; ++c) allowed[static_cast<size_t>(c)] = true;
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) allowed[static_cast<uint8_t>(c)] = true;
  return allowed;
}
constexpr std::array<bool, 256> kNameCharacters = make_name_characters();

// All but controls, the space, and those in `others`.
constexpr std::array<bool, 256> make_uri_characters(std::string_view others, bool above_ascii) {
  std::array<bool, 256> allowed{};
  for (size_t c = 0x21; c < 256; ++c) allowed[c] = c < 0x7f || (above_ascii && c > 0x7f);
  for (const char c : others) allowed[static_cast<uint8_t>(c)] = false;
  return allowed;
}
constexpr std::array<bool, 256> kAuthorityCharacters = make_uri_characters("@/?#\\", false);
constexpr std::array<bool, 256> kPathCharacters = make_uri_characters("#", true);

const char* check_field(std::string_view name, std::string_view value, HeaderToken token) {
  if (token == kOther && !is_lower_field_name(name)) return "field name with characters that are not allowed";
  if (!is_field_value(value)) return "field value with characters that are not allowed";
  return nullptr;
}

const char* check_connection_field(HeaderToken token, std::string_view value) {
  switch (token) {
    case kConnection:
    case kKeepAlive:
    case kProxyConnection:
    case kTransferEncoding:
    case kUpgrade:
    case kHttp2Settings:
      return "connection-specific field";
    case kTe:
      return value == "trailers" ? nullptr : "te other than trailers";
    default:
      return nullptr;
  }
}

const char* take_content_length(std::string_view value, MessageHead& head) {
  const auto length = parse_content_length(value);
  if (!length) return "content-length that is no number";
  // Equal ones may be accepted (RFC 9110 section 8.6), but not everybody behind us would read them alike.
  if (head.content_length >= 0) return "content-length twice";
  head.content_length = *length;
  return nullptr;
}

MessageHead malformed(const char* why) {
  MessageHead head;
  head.error = why;
  return head;
}

// RFC 3986 section 3.1. A scheme with more in it would become part of a URI that others put together.
bool is_scheme(std::string_view text) {
  if (text == "http" || text == "https") return true;
  if (text.empty() || !is_letter(text.front())) return false;
  for (const char c : text) {
    if (!is_letter(c) && !is_digit(c) && c != '+' && c != '-' && c != '.') return false;
  }
  return true;
}

// A host without user information and without characters that end an authority.
bool is_authority(std::string_view text) {
  bool allowed = !text.empty();
  for (const char c : text) allowed &= kAuthorityCharacters[static_cast<uint8_t>(c)];
  return allowed;
}

bool is_path(std::string_view path, std::string_view method) {
  if (path.empty()) return false;
  bool allowed = true;
  for (const char c : path) allowed &= kPathCharacters[static_cast<uint8_t>(c)];
  return allowed && (path.front() == '/' || (path == "*" && method == "OPTIONS"));
}

}  // namespace

bool is_lower_field_name(std::string_view name) {
  if (name.empty()) return false;
  bool allowed = true;
  for (const char c : name) allowed &= kNameCharacters[static_cast<uint8_t>(c)];
  return allowed;
}

bool is_field_value(std::string_view value) {
  if (value.empty()) return true;
  if (is_blank(value.front()) || is_blank(value.back())) return false;
  bool bad = false;
  for (const char c : value) bad |= c == '\0' || c == '\r' || c == '\n';
  return !bad;
}

std::optional<int64_t> parse_content_length(std::string_view text) {
  int64_t length = 0;
  if (text.empty() || text.front() < '0' || text.front() > '9') return std::nullopt;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, length);
  if (parsed.ec != std::errc{} || parsed.ptr != end) return std::nullopt;
  return length;
}

MessageHead check_request(const HeaderList& fields) {
  MessageHead head;
  std::bitset<8> seen;
  bool regular_seen = false;
  std::string_view method;
  std::string_view path;
  std::string_view scheme;
  std::string_view authority;
  std::string_view protocol;
  std::string_view host;
  bool host_seen = false;
  for (const HeaderList::Field& field : fields.fields()) {
    const std::string_view value = fields.value(field);
    if (const char* error = check_field(fields.name(field), value, field.token)) return malformed(error);
    if (is_pseudo(field.token)) {
      if (regular_seen) return malformed("pseudo-header field behind a regular one");
      if (field.token == kStatus) return malformed(":status in a request");
      const auto bit = static_cast<size_t>(field.token);
      if (seen.test(bit)) return malformed("pseudo-header field twice");
      seen.set(bit);
      switch (field.token) {
        case kMethod:
          method = value;
          break;
        case kPath:
          path = value;
          break;
        case kScheme:
          scheme = value;
          break;
        case kAuthority:
          authority = value;
          break;
        case kProtocol:
          protocol = value;
          break;
        default:
          break;
      }
      continue;
    }
    regular_seen = true;
    if (const char* error = check_connection_field(field.token, value)) return malformed(error);
    if (field.token == kContentLength) {
      if (const char* error = take_content_length(value, head)) return malformed(error);
    } else if (field.token == kHost) {
      if (host_seen) return malformed("host twice");
      host_seen = true;
      host = value;
    }
  }
  const auto has = [&seen](HeaderToken token) { return seen.test(static_cast<size_t>(token)); };
  if (method.empty()) return malformed(":method is missing");
  if (!is_token(method)) return malformed(":method is no token");
  head.connect = method == "CONNECT";
  head.head_method = method == "HEAD";
  if (head.connect && !has(kProtocol)) {
    if (has(kPath) || has(kScheme) || !has(kAuthority)) {
      return malformed("CONNECT takes :authority and neither :scheme nor :path");
    }
  } else {
    if (has(kProtocol) && !head.connect) return malformed(":protocol without CONNECT");
    if (has(kProtocol) && !is_token(protocol)) return malformed(":protocol is no token");
    if (!is_scheme(scheme)) return malformed(":scheme is missing or is no scheme");
    if (!is_path(path, method)) return malformed(":path is missing or is no path");
  }
  if (!has(kAuthority) && !host_seen) return malformed(":authority and host are missing");
  if ((has(kAuthority) && !is_authority(authority)) || (host_seen && !is_authority(host)))
    return malformed(":authority or host is no authority");
  if (has(kAuthority) && host_seen && !equal_ignoring_case(authority, host))
    return malformed(":authority and host differ");
  return head;
}

MessageHead check_response(const HeaderList& fields) {
  MessageHead head;
  bool regular_seen = false;
  for (const HeaderList::Field& field : fields.fields()) {
    const std::string_view value = fields.value(field);
    if (const char* error = check_field(fields.name(field), value, field.token)) return malformed(error);
    if (is_pseudo(field.token)) {
      if (regular_seen) return malformed("pseudo-header field behind a regular one");
      if (field.token != kStatus) return malformed("pseudo-header field of a request in a response");
      if (head.status != 0) return malformed("pseudo-header field twice");
      if (value.size() != 3 || value[0] < '1' || value[0] > '9' || value[1] < '0' || value[1] > '9' ||
          value[2] < '0' || value[2] > '9') {
        return malformed(":status is no status code");
      }
      head.status = static_cast<uint16_t>((value[0] - '0') * 100 + (value[1] - '0') * 10 + (value[2] - '0'));
      continue;
    }
    regular_seen = true;
    if (const char* error = check_connection_field(field.token, value)) return malformed(error);
    if (field.token == kContentLength) {
      if (const char* error = take_content_length(value, head)) return malformed(error);
    }
  }
  if (head.status == 0) return malformed(":status is missing");
  if (head.status == 101) return malformed("status 101 is not for HTTP/2");
  return head;
}

const char* check_trailers(const HeaderList& fields) {
  for (const HeaderList::Field& field : fields.fields()) {
    const std::string_view value = fields.value(field);
    if (const char* error = check_field(fields.name(field), value, field.token)) return error;
    if (is_pseudo(field.token)) return "pseudo-header field in trailers";
    if (const char* error = check_connection_field(field.token, value)) return error;
    if (field.token == kContentLength || field.token == kHost)
      return "field in trailers that does not belong there";
  }
  return nullptr;
}

}  // namespace sluice::l7
