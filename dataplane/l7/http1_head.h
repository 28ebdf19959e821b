// Heads of HTTP/1.x messages (RFC 9112 sections 2-6) read into the form that HTTP/2 gives them: pseudo-header
// fields in front, names in lower case, nothing that is about the connection only.
//
// Strict where leniency is how requests are smuggled: what two recipients could read in two ways is refused,
// also where the RFC leaves a recipient the choice.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/l7/header_list.h"
#include "dataplane/l7/http1_settings.h"
#include "dataplane/l7/message_rules.h"

namespace sluice::l7 {

struct HeadEnd {
  enum class State : uint8_t {
    kMore,   ///< no end yet; `at` is where to go on searching
    kWhole,  ///< `at` is behind the empty line
    kBad,    ///< a line feed without a carriage return before it
  };
  State state = State::kMore;
  size_t at = 0;
};

/// Looks for the empty line that ends a head or a trailer section. Nothing before `from` ends a line.
HeadEnd find_head_end(std::string_view text, size_t from);

/// What a head says beside its fields. The views lie in the text that was read.
struct Http1Head {
  /// Of a malformed request `head.status` is the status to answer: 400, 413, 431, 501 or 505.
  MessageHead head;
  bool version_1_0 = false;
  bool chunked = false;
  bool expect_continue = false;
  bool switched = false;  ///< of a response: 101, which became :status 200
  // Options of Connection.
  bool close = false;
  bool keep_alive = false;
  bool upgrade = false;
  bool http2_settings = false;
  // Protocols of Upgrade.
  bool upgrade_h2c = false;
  bool upgrade_websocket = false;
  bool websocket = false;             ///< of a request: it became an extended CONNECT
  std::string_view settings_payload;  ///< HTTP2-Settings, as it came
  std::string_view websocket_key;     ///< Sec-WebSocket-Key of a request, Sec-WebSocket-Accept of a response

  /// Whether another message may follow on the connection (RFC 9112 section 9.3).
  bool persistent() const { return !close && (!version_1_0 || keep_alive); }
};

/// Reads a request's head, `text` from the first byte to the end that find_head_end() found. `fields` is
/// cleared first.
Http1Head parse_request_head(std::string_view text, const Http1Settings& settings, HeaderList& fields);

/// Reads a response's head. `upgrading`: 101 is an answer to this request; it becomes :status 200, as
/// RFC 8441 has it.
Http1Head parse_response_head(std::string_view text, const Http1Settings& settings, bool upgrading,
                              HeaderList& fields);

/// Reads a trailer section. Returns why it is malformed, or nullptr.
const char* parse_trailers(std::string_view text, const Http1Settings& settings, HeaderList& fields);

}  // namespace sluice::l7
