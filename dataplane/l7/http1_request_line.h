// The first line of an HTTP/1.x request (RFC 9112 section 3).
#pragma once

#include <cstdint>
#include <string_view>

namespace sluice::l7 {

/// The views lie in the text that was read, or are constants.
struct RequestLine {
  const char* error = nullptr;  ///< why it is malformed
  uint16_t status = 400;        ///< to be answered then
  bool version_1_0 = false;
  bool absolute = false;  ///< the target names the authority
  std::string_view method;
  std::string_view scheme;
  std::string_view authority;
  std::string_view path;  ///< of absolute-form: without the slash that an empty path stands for
};

/// `text` is the line without its end.
RequestLine read_request_line(std::string_view text);

/// Whether `text` is "HTTP/1.0" or "HTTP/1.1": 0, and `version_1_0` is set. Otherwise the status to answer,
/// 400 or 505.
uint16_t check_http1_version(std::string_view text, bool& version_1_0);

}  // namespace sluice::l7
