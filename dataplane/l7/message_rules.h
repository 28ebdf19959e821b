// What makes a message malformed (RFC 9113 sections 8.1-8.3, RFC 9110 section 5, RFC 8441).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "dataplane/l7/header_list.h"

namespace sluice::l7 {

/// What a checked head says. `error` is why it is malformed, or nullptr.
struct MessageHead {
  const char* error = nullptr;
  int64_t content_length = -1;  ///< -1: not given
  uint16_t status = 0;          ///< of a response; of a malformed HTTP/1 request the one to answer
  bool head_method = false;     ///< of a request: HEAD, whose response has no body
  bool connect = false;         ///< of a request: CONNECT, plain or extended
};

/// A request's head as HTTP/2 carries it.
MessageHead check_request(const HeaderList& fields);

/// A response's head as HTTP/2 carries it.
MessageHead check_response(const HeaderList& fields);

/// Trailers: no pseudo-header fields and none about framing. Returns why not, or nullptr.
const char* check_trailers(const HeaderList& fields);

/// A field name of RFC 9110 section 5.1 in lower case.
bool is_lower_field_name(std::string_view name);

/// A field value without NUL, CR, LF and without white space at its ends (RFC 9113 section 8.2.1).
bool is_field_value(std::string_view value);

/// A content-length: digits only. The list of equal numbers that RFC 9110 section 8.6 lets a recipient accept
/// is refused: the next one might read it differently.
std::optional<int64_t> parse_content_length(std::string_view text);

}  // namespace sluice::l7
