#include "control/listening_tcp.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace sluice {

namespace {

socklen_t fill(sockaddr_storage& storage, const IpAddress& address, uint16_t port) {
  if (address.is_v4()) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&v4.sin_addr, address.v4_bytes(), sizeof v4.sin_addr);
    return sizeof v4;
  }
  auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  std::memcpy(&v6.sin6_addr, address.bytes().data(), sizeof v6.sin6_addr);
  return sizeof v6;
}

std::string text_of(const IpAddress& address, uint16_t port) {
  return address.is_v4() ? fmt::format("{}:{}", address.to_string(), port)
                         : fmt::format("[{}]:{}", address.to_string(), port);
}

}  // namespace

Result<int> listen_tcp(const IpAddress& address, uint16_t port) {
  const int descriptor =
      socket(address.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  sockaddr_storage storage{};
  const socklen_t length = fill(storage, address, port);
  const bool listening =
      descriptor >= 0 && setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
      (address.is_v4() || setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0) &&
      bind(descriptor, reinterpret_cast<const sockaddr*>(&storage), length) == 0 &&
      listen(descriptor, SOMAXCONN) == 0;
  if (listening) return descriptor;
  const int error = errno;
  if (descriptor >= 0) ::close(descriptor);
  return fail(fmt::format("cannot listen on {}: {}", text_of(address, port), std::strerror(error)));
}

}  // namespace sluice
