#include "dataplane/l7/listening_sockets.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "dataplane/l7/transport.h"

namespace sluice::l7 {
namespace {

bool is_for(const BoundSocket& socket, const ListenerSettings& listener) {
  return socket.address() == listener.address && socket.port() == listener.port;
}

/// Those of `all` that are the listener's, in their order.
BoundSockets sockets_for(const BoundSockets& all, const ListenerSettings& listener) {
  BoundSockets own;
  for (const auto& socket : all) {
    if (is_for(*socket, listener)) own.push_back(socket);
  }
  return own;
}

bool has_port(const BoundSockets& sockets, uint16_t port) {
  return std::any_of(sockets.begin(), sockets.end(),
                     [port](const auto& socket) { return socket->port() == port; });
}

}  // namespace

BoundSocket::~BoundSocket() {
  close(fd_);
}

Result<std::shared_ptr<const BoundSocket>> BoundSocket::adopt(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  int listens = 0;
  socklen_t listens_size = sizeof(listens);
  const bool good = getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) == 0 &&
                    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_size) == 0 && listens != 0;
  if (good && storage.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage);
    return std::make_shared<const BoundSocket>(IpAddress::v4(reinterpret_cast<const uint8_t*>(&v4.sin_addr)),
                                               ntohs(v4.sin_port), fd);
  }
  if (good && storage.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage);
    IpAddress::Bytes bytes;
    std::copy_n(reinterpret_cast<const uint8_t*>(&v6.sin6_addr), bytes.size(), bytes.begin());
    return std::make_shared<const BoundSocket>(IpAddress::v6(bytes), ntohs(v6.sin6_port), fd);
  }
  close(fd);
  return fail("a descriptor that is no listening TCP socket");
}

Result<BoundSockets> open_sockets(const ProxySettings& settings, const BoundSockets& have) {
  BoundSockets all;
  for (const ListenerSettings& listener : settings.listeners) {
    BoundSockets own = sockets_for(have, listener);
    all.insert(all.end(), own.begin(), own.end());
  }
  for (const ListenerSettings& listener : settings.listeners) {
    const size_t own = sockets_for(all, listener).size();
    for (size_t i = own; i < settings.workers; ++i) {
      // One for all addresses and one for a single address may stand side by side, if both are ours.
      const bool shared = has_port(all, listener.port) || has_port(have, listener.port);
      const auto fd = listen_on(listener.address, listener.port, shared);
      if (!fd && own > 0) break;
      if (!fd) return fail(fmt::format("listener {}: {}", listener.name, fd.error().message));
      all.push_back(std::make_shared<const BoundSocket>(listener.address, listener.port, *fd));
    }
  }
  return all;
}

std::vector<BoundSockets> sockets_of_worker(const ProxySettings& settings, const BoundSockets& all,
                                            uint32_t worker) {
  std::vector<BoundSockets> of_listeners;
  for (const ListenerSettings& listener : settings.listeners) {
    const BoundSockets sockets = sockets_for(all, listener);
    BoundSockets& own = of_listeners.emplace_back();
    for (size_t i = worker; i < sockets.size(); i += settings.workers) own.push_back(sockets[i]);
    if (own.empty() && !sockets.empty()) own.push_back(sockets[worker % sockets.size()]);
  }
  return of_listeners;
}

}  // namespace sluice::l7
