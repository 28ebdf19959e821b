#include "dataplane/l7/http1_head.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

namespace sluice::l7 {
namespace {

// More options than this have no use; each is compared with each field's name.
constexpr size_t kMaxConnectionOptions = 32;
constexpr size_t kMaxConnectionFields = 4;
constexpr size_t kMaxNameSize = 1024;
constexpr size_t kWebSocketKeySize = 24;  // sixteen bytes in base64

// Characters of a token in lower case; 0 for all others.
constexpr std::array<char, 256> make_lower_token() {
  std::array<char, 256> lower{};
  for (int c = 'a'; c <= 'z'; ++c) {
    lower[static_cast<size_t>(c)] = static_cast<char>(c);
    lower[static_cast<size_t>(c - 'a' + 'A')] = static_cast<char>(c);
  }
  for (int c = '0'; c <= '9'; ++c) lower[static_cast<size_t>(c)] = static_cast<char>(c);
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) lower[static_cast<uint8_t>(c)] = c;
  return lower;
}
constexpr std::array<char, 256> kLowerToken = make_lower_token();

constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

constexpr bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_character);
}

// RFC 9110 section 5.5 calls all control characters but the tabulator invalid; CR inside a line is one.
bool has_control_character(std::string_view text) {
  bool found = false;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    found |= (byte < ' ' && byte != '\t') || byte == 0x7f;
  }
  return found;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// Takes the next line off the front of `text`, without its end. The caller knows that each ends with CR LF.
std::string_view take_line(std::string_view& text) {
  const size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end - 1);
  text.remove_prefix(end + 1);
  return line;
}

// Calls `visit(element)` for each element of a comma-separated list that is not empty (RFC 9110
// section 5.6.1.2).
template <typename Visit>
void for_each_element(std::string_view list, Visit visit) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    const std::string_view element = trimmed(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
    if (!element.empty()) visit(element);
  }
}

bool list_has(std::string_view list, std::string_view wanted) {
  bool found = false;
  for_each_element(list, [&](std::string_view element) { found |= equal_ignoring_case(element, wanted); });
  return found;
}

// --- field lines

class FieldReader {
 public:
  FieldReader(const HeaderLimits& limits, HeaderList& fields, Http1Head& into)
      : limits_(limits), fields_(fields), into_(into) {}

  /// Reads all lines up to the empty one. False: refused, and `into.head` says why.
  bool read(std::string_view lines) {
    for (std::string_view line = take_line(lines); !line.empty(); line = take_line(lines)) {
      if (++lines_ > limits_.fields) return fail("more fields than the limit", 431);
      if (!read_line(line)) return false;
      if (fields_.list_size() > limits_.list_size) return fail("more fields than the limit", 431);
    }
    if (into_.chunked && content_length_seen_) return fail("content-length with transfer-encoding");
    if (into_.chunked && into_.version_1_0) return fail("transfer-encoding in HTTP/1.0");
    return remove_listed();
  }

  bool host_seen() const { return host_seen_; }
  /// A field that is about the connection or the message's way, not the message.
  bool hop_by_hop_seen() const { return hop_by_hop_seen_; }
  std::string_view host() const { return host_; }

 private:
  bool fail(const char* why, uint16_t status = 400) {
    into_.head.error = why;
    into_.head.status = status;
    return false;
  }

  bool read_line(std::string_view line) {
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

  bool take(HeaderToken token, std::string_view name, std::string_view value) {
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

  bool take_content_length(std::string_view value) {
    if (content_length_seen_) return fail("several content-lengths");
    content_length_seen_ = true;
    if (!parse_content_length(value)) {
      const bool number = !value.empty() && std::all_of(value.begin(), value.end(), is_digit);
      return number ? fail("content-length beyond all bounds", 413)
                    : fail("content-length that is no number");
    }
    fields_.add(HeaderToken::kContentLength, value);
    return true;
  }

  // RFC 9112 section 6.1. Codings other than chunked exist in books only.
  bool take_transfer_encoding(std::string_view value) {
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

  bool take_connection(std::string_view value) {
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
  bool remove_listed() {
    if (!others_listed_) return true;
    fields_.remove_if([this](std::string_view name, std::string_view /*value*/) {
      return std::any_of(connections_.begin(), connections_.begin() + connection_count_,
                         [name](std::string_view list) { return list_has(list, name); });
    });
    return true;
  }

  const HeaderLimits& limits_;
  HeaderList& fields_;
  Http1Head& into_;
  size_t lines_ = 0;
  size_t options_ = 0;
  bool host_seen_ = false;
  bool hop_by_hop_seen_ = false;
  bool content_length_seen_ = false;
  bool settings_seen_ = false;
  bool te_seen_ = false;
  bool others_listed_ = false;
  uint8_t connection_count_ = 0;
  std::string_view host_;
  std::array<std::string_view, kMaxConnectionFields> connections_;
};

// --- start lines

struct RequestLine {
  const char* error = nullptr;
  uint16_t status = 400;
  bool version_1_0 = false;
  bool absolute = false;  // the target names the authority
  std::string_view method;
  std::string_view scheme;
  std::string_view authority;
  std::string_view path;  // of absolute-form: without the slash that an empty path stands for
};

RequestLine bad_line(const char* why, uint16_t status = 400) {
  RequestLine line;
  line.error = why;
  line.status = status;
  return line;
}

// `text` is "HTTP/1.0" or "HTTP/1.1". Returns the status to answer otherwise, or 0.
uint16_t check_version(std::string_view text, bool& version_1_0) {
  if (text.size() != 8 || !text.starts_with("HTTP/") || !is_digit(text[5]) || text[6] != '.' ||
      !is_digit(text[7]))
    return 400;
  if (text[5] != '1' || text[7] > '1') return 505;
  version_1_0 = text[7] == '0';
  return 0;
}

// host:port (RFC 9112 section 3.2.3).
bool is_authority_form(std::string_view target) {
  const size_t colon = target.rfind(':');
  if (colon == 0 || colon == std::string_view::npos) return false;
  const std::string_view port = target.substr(colon + 1);
  return !port.empty() && port.size() <= 5 && std::all_of(port.begin(), port.end(), is_digit);
}

const char* split_absolute(std::string_view target, RequestLine& line) {
  const size_t colon = target.find("://");
  if (colon == std::string_view::npos) return "request target of no known form";
  const std::string_view scheme = target.substr(0, colon);
  if (equal_ignoring_case(scheme, "http")) {
    line.scheme = "http";
  } else if (equal_ignoring_case(scheme, "https")) {
    line.scheme = "https";
  } else {
    return "request target of a scheme other than http and https";
  }
  target.remove_prefix(colon + 3);
  const size_t end = std::min(target.find_first_of("/?#"), target.size());
  line.absolute = true;
  line.authority = target.substr(0, end);
  line.path = target.substr(end);
  return line.authority.empty() ? "request target without a host" : nullptr;
}

RequestLine read_request_line(std::string_view text) {
  const size_t first = text.find(' ');
  const size_t second = first == std::string_view::npos ? first : text.find(' ', first + 1);
  if (second == std::string_view::npos) return bad_line("request line without three parts");
  RequestLine line;
  line.method = text.substr(0, first);
  const std::string_view target = text.substr(first + 1, second - first - 1);
  if (!is_token(line.method)) return bad_line("method that is no token");
  if (target.empty() || has_control_character(target) || target.find('\t') != std::string_view::npos) {
    return bad_line("request target with characters that are not allowed");
  }
  if (const uint16_t status = check_version(text.substr(second + 1), line.version_1_0)) {
    return bad_line(status == 505 ? "HTTP version that is not served" : "HTTP version that is none", status);
  }
  if (line.method == "CONNECT") {
    if (!is_authority_form(target)) return bad_line("CONNECT takes host:port");
    line.authority = target;
  } else if (target.front() == '/' || target == "*") {
    line.path = target;
  } else if (const char* error = split_absolute(target, line)) {
    return bad_line(error);
  }
  return line;
}

Http1Head malformed(const char* why, uint16_t status = 400) {
  Http1Head result;
  result.head.error = why;
  result.head.status = status;
  return result;
}

// Adds the path of absolute-form, which may lack its slash (RFC 9112 section 3.2.1 and 3.2.4).
void add_absolute_path(const RequestLine& line, HeaderList& fields) {
  if (line.path.empty()) {
    fields.add(HeaderToken::kPath, line.method == "OPTIONS" ? "*" : "/");
  } else if (line.path.front() == '/') {
    fields.add(HeaderToken::kPath, line.path);
  } else {
    fields.add(HeaderToken::kPath, std::string("/").append(line.path));
  }
}

bool asks_for_websocket(const Http1Head& head, const RequestLine& line, const HeaderList& fields) {
  return head.upgrade && head.upgrade_websocket && !head.version_1_0 && !head.chunked &&
         line.method == "GET" && head.websocket_key.size() == kWebSocketKeySize &&
         fields.find(HeaderToken::kContentLength) == nullptr;
}

}  // namespace

bool is_token_character(char c) {
  return kLowerToken[static_cast<uint8_t>(c)] != 0;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

HeadEnd find_head_end(std::string_view text, size_t from) {
  using State = HeadEnd::State;
  while (from < text.size()) {
    const void* found = std::memchr(text.data() + from, '\n', text.size() - from);
    if (found == nullptr) break;
    const auto at = static_cast<size_t>(static_cast<const char*>(found) - text.data());
    if (at == 0 || text[at - 1] != '\r') return {State::kBad, at};
    if (at == 1 || text[at - 2] == '\n') return {State::kWhole, at + 1};
    from = at + 1;
  }
  return {State::kMore, text.size()};
}

Http1Head parse_request_head(std::string_view text, const Http1Settings& settings, HeaderList& fields) {
  fields.clear();
  const RequestLine line = read_request_line(take_line(text));
  if (line.error != nullptr) return malformed(line.error, line.status);
  Http1Head result;
  result.version_1_0 = line.version_1_0;
  FieldReader reader(settings.headers, fields, result);
  if (!reader.read(text)) return result;
  if (!reader.host_seen() && !line.version_1_0) return malformed("host is missing");
  if (line.absolute && reader.host_seen() && !equal_ignoring_case(reader.host(), line.authority)) {
    return malformed("host differs from the request target");
  }
  const bool connect = line.method == "CONNECT";
  if (connect && (result.chunked || fields.find(HeaderToken::kContentLength) != nullptr)) {
    return malformed("CONNECT with a body");
  }

  result.websocket = settings.websocket && asks_for_websocket(result, line, fields);
  if (result.websocket) {
    fields.remove_if([](std::string_view name, std::string_view) { return name == "sec-websocket-key"; });
  }
  const size_t regular = fields.size();
  fields.add(HeaderToken::kMethod, result.websocket ? "CONNECT" : line.method);
  if (result.websocket) fields.add(HeaderToken::kProtocol, "websocket");
  if (!connect) {
    const std::string_view own = settings.secure ? "https" : "http";
    fields.add(HeaderToken::kScheme, line.absolute ? line.scheme : own);
    if (line.absolute) {
      add_absolute_path(line, fields);
    } else {
      fields.add(HeaderToken::kPath, line.path);
    }
  }
  const std::string_view authority = line.authority.empty() ? reader.host() : line.authority;
  fields.add(HeaderToken::kAuthority, authority.empty() ? settings.default_authority : authority);
  fields.move_to_front(fields.size() - regular);

  result.head = check_request(fields);
  if (result.head.error != nullptr) result.head.status = 400;
  return result;
}

Http1Head parse_response_head(std::string_view text, const Http1Settings& settings, bool upgrading,
                              HeaderList& fields) {
  fields.clear();
  const std::string_view line = take_line(text);
  Http1Head result;
  // "HTTP/1.1 200 reason". Without a reason many leave the second space out, too.
  if (line.size() < 12 || check_version(line.substr(0, 8), result.version_1_0) != 0 || line[8] != ' ' ||
      (line.size() > 12 && line[12] != ' ') || has_control_character(line)) {
    return malformed("status line that is none");
  }
  FieldReader reader(settings.headers, fields, result);
  if (!reader.read(text)) return result;
  if (reader.host_seen()) fields.add(HeaderToken::kHost, reader.host());

  std::string_view status = line.substr(9, 3);
  if (status == "101" && upgrading && result.upgrade) {
    result.switched = true;
    status = "200";
    fields.remove_if([](std::string_view name, std::string_view) { return name == "sec-websocket-accept"; });
  }
  fields.add(HeaderToken::kStatus, status);
  fields.move_to_front(1);
  result.head = check_response(fields);
  return result;
}

const char* parse_trailers(std::string_view text, const Http1Settings& settings, HeaderList& fields) {
  fields.clear();
  Http1Head ignored;
  FieldReader reader(settings.headers, fields, ignored);
  if (!reader.read(text)) return ignored.head.error;
  if (reader.hop_by_hop_seen()) return "field in trailers that does not belong there";
  return check_trailers(fields);
}

}  // namespace sluice::l7
