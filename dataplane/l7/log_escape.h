// Values that strangers have sent, as parts of a log line: none can end the line or its quotes, or say
// something to the terminal that shows it.
#pragma once

#include <string>
#include <string_view>

namespace sluice::l7 {

/// Appends `value` with `"` and `\` behind a backslash and each byte that is not a printable ASCII character
/// as \xHH.
void append_text_escaped(std::string& out, std::string_view value);

/// Appends `value` as the inside of a JSON string (RFC 8259 section 7). UTF-8 stays as it is, but for control
/// characters; a byte that is none is the replacement character U+FFFD.
void append_json_escaped(std::string& out, std::string_view value);

}  // namespace sluice::l7
