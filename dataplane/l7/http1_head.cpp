#include "dataplane/l7/http1_head.h"

#include <cstring>
#include <string>

#include "dataplane/l7/field_text.h"
#include "dataplane/l7/http1_field_lines.h"
#include "dataplane/l7/http1_request_line.h"

namespace sluice::l7 {
namespace {

constexpr size_t kWebSocketKeySize = 24;  // sixteen bytes in base64

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
  if (line.size() < 12 || check_http1_version(line.substr(0, 8), result.version_1_0) != 0 || line[8] != ' ' ||
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
