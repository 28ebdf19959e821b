// One request to a running sluiced, from a program that waits for the answer.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "lb/result.h"

namespace sluice {

struct ApiAnswer {
  unsigned status = 0;
  std::string body;

  bool is_ok() const { return status >= 200 && status < 300; }
};

/// Sends `method` `target` with `body` to the control socket at `socket_path` and waits for the answer, at
/// most `timeout` in all. An Error means that no answer came, and says in one line why and what to do; an
/// answer of any status is a value. A server whose places are all taken is asked again.
///
/// `if_match`, if not empty, is the generation that the caller has seen: the server refuses to change
/// another.
Result<ApiAnswer> api_call(const std::string& socket_path, const std::string& method,
                           const std::string& target, const std::string& body,
                           std::chrono::milliseconds timeout, const std::string& if_match = {});

/// `text` as one segment of a target: all but letters, digits and "-._~:" percent-encoded.
std::string api_segment(std::string_view text);

/// The words of an answer that is not ok: its "error" field, otherwise the status.
std::string api_error_text(const ApiAnswer& answer);

}  // namespace sluice
