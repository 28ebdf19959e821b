// The texts that configuration files of every kind have in common: reading a file, its tree, names and
// addresses.
#pragma once

#include <string>
#include <string_view>

#include "control/yaml_tree.h"
#include "lb/address.h"
#include "lb/result.h"

namespace sluice {

/// Reads a whole file, at most one byte more than the parser takes. The error says what is accepted.
Result<std::string> read_config_file(const std::string& path);

/// The text as a tree; the error has the place of what is wrong, "file:line:column: ...".
Result<YamlNode> parse_config_tree(std::string_view yaml, std::string_view filename);

/// 1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit. As with all parsing functions
/// here, an error without words means: not what the table of fields says is accepted.
Result<std::string> parse_name(const std::string& text);

/// The directory of a control socket: absolute, and short enough for the socket's name behind it.
Result<std::string> parse_run_dir(const std::string& text);

/// Any address, also the unspecified one.
Result<IpAddress> parse_address(const std::string& text);

/// "10", "0.5": 0 to 100.
Result<double> parse_percent(const std::string& text);

/// Neither unspecified nor multicast nor broadcast; the error says which.
Result<void> check_unicast(const IpAddress& address);
Result<IpAddress> parse_unicast(const std::string& text);

/// The host's name, or "localhost" if that is none that parse_name() takes.
std::string host_name();

}  // namespace sluice
