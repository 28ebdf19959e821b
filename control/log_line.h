// The words of a log line: one event, `event=name key=value key="two words"`. Pure.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice {

/// `"text"` with quotes, backslashes and control characters escaped, so that a line stays one line and its
/// fields can be told apart whatever a server, a file or an operator has written.
std::string log_quoted(std::string_view text);

/// The fields of a line, in order, unescaped; words without '=' are left out.
std::vector<std::pair<std::string, std::string>> log_fields(std::string_view line);

/// The kind of a line, "backend_unhealthy": its event; "" if it has none.
std::string_view log_kind(std::string_view line);

/// `line` as a message for journald (systemd.journal-fields(7)): the line itself, and each of its keys as a
/// field SLUICE_KEY. `priority` as syslog(3) numbers them.
std::string journal_message(std::string_view program, int priority, std::string_view line);

/// `line` with a space in the place of each control character.
std::string one_line(std::string_view line);

}  // namespace sluice
