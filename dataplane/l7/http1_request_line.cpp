#include "dataplane/l7/http1_request_line.h"

#include <algorithm>

#include "dataplane/l7/field_text.h"

namespace sluice::l7 {
namespace {

RequestLine bad_line(const char* why, uint16_t status = 400) {
  RequestLine line;
  line.error = why;
  line.status = status;
  return line;
}

// host:port (RFC 9112 section 3.2.3).
bool is_authority_form(std::string_view target) {
  const size_t colon = target.rfind(':');
  if (colon == 0 || colon == std::string_view::npos) return false;
  const std::string_view port = target.substr(colon + 1);
  return port.size() <= 5 && is_number(port);
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

}  // namespace

uint16_t check_http1_version(std::string_view text, bool& version_1_0) {
  if (text.size() != 8 || !text.starts_with("HTTP/") || !is_digit(text[5]) || text[6] != '.' ||
      !is_digit(text[7]))
    return 400;
  if (text[5] != '1' || text[7] > '1') return 505;
  version_1_0 = text[7] == '0';
  return 0;
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
  if (const uint16_t status = check_http1_version(text.substr(second + 1), line.version_1_0)) {
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

}  // namespace sluice::l7
