// Datagrams to a unix socket that systemd or journald listens on.
#pragma once

#include <string>
#include <string_view>

namespace sluice {

/// Sends without ever waiting; a path that begins with '@' is an abstract address. errno of what went wrong,
/// or 0.
int send_datagram(int socket, const std::string& path, std::string_view text);

/// A socket for it, or -1.
int datagram_socket();

}  // namespace sluice
