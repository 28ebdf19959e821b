#include "dataplane/l7/transport.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace sluice::l7 {
namespace {

// Enough for a megabyte in one call.
constexpr size_t kPieces = 64;
constexpr int kBacklog = 4096;
constexpr const char* kInUse =
    "; another process listens there: end it, or start this one with --upgrade to take over from it";

socklen_t fill(sockaddr_storage& storage, const IpAddress& address, uint16_t port) {
  storage = {};
  if (address.is_v4()) {
    auto& to = reinterpret_cast<sockaddr_in&>(storage);
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    std::memcpy(&to.sin_addr, address.v4_bytes(), 4);
    return sizeof(to);
  }
  auto& to = reinterpret_cast<sockaddr_in6&>(storage);
  to.sin6_family = AF_INET6;
  to.sin6_port = htons(port);
  std::memcpy(&to.sin6_addr, address.bytes().data(), 16);
  return sizeof(to);
}

std::string address_text(const IpAddress& address, uint16_t port) {
  return fmt::format(fmt::runtime(address.is_v4() ? "{}:{}" : "[{}]:{}"), address.to_string(), port);
}

void set_option(int fd, int level, int option, int value) {
  setsockopt(fd, level, option, &value, sizeof(value));
}

// What is in one piece goes by the cheaper call.
ssize_t send_pieces(int fd, const ByteQueue& queue) {
  const auto front = queue.front();
  if (front.size() == queue.size()) return send(fd, front.data(), front.size(), MSG_NOSIGNAL);
  std::array<iovec, kPieces> pieces;
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = static_cast<size_t>(queue.pieces(pieces));
  return sendmsg(fd, &message, MSG_NOSIGNAL);
}

// Probes begin so early that two of them can be lost.
void limit_silence(int fd, std::chrono::milliseconds limit) {
  if (limit.count() == 0) return;
  const int seconds = std::max(1, static_cast<int>(limit.count() / 3000));
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds);
  set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(limit.count()));
}

}  // namespace

Transport::~Transport() {
  close(fd_);
}

IoStatus Transport::read(std::span<uint8_t> into, size_t& bytes) {
  if (tls_) return tls_->read(into, bytes);
  const ssize_t got = recv(fd_, into.data(), into.size(), 0);
  if (got > 0) {
    bytes = static_cast<size_t>(got);
    return IoStatus::kDone;
  }
  if (got == 0) return IoStatus::kClosed;
  return errno == EAGAIN || errno == EINTR ? IoStatus::kBlocked : IoStatus::kFailed;
}

IoStatus Transport::flush(ByteQueue& queue) {
  if (tls_) return tls_->flush(queue);
  while (!queue.empty()) {
    const ssize_t sent = send_pieces(fd_, queue);
    if (sent < 0) return errno == EAGAIN || errno == EINTR ? IoStatus::kBlocked : IoStatus::kFailed;
    queue.consume(static_cast<size_t>(sent));
  }
  return IoStatus::kDone;
}

IoStatus Transport::end_output() {
  const IoStatus status = tls_ ? tls_->end_output() : IoStatus::kDone;
  if (status == IoStatus::kDone) shutdown(fd_, SHUT_WR);
  return status;
}

void Transport::abort() {
  const linger none{1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

uint16_t Transport::peer_port() const {
  sockaddr_storage peer{};
  socklen_t size = sizeof(peer);
  if (getpeername(fd_, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return 0;
  return ntohs(peer.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(peer).sin6_port
                                          : reinterpret_cast<const sockaddr_in&>(peer).sin_port);
}

int Transport::connect_result() const {
  int error = 0;
  socklen_t size = sizeof(error);
  if (getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
  return error;
}

Result<int> start_connect(const IpAddress& address, uint16_t port, std::chrono::milliseconds tcp_timeout) {
  sockaddr_storage storage;
  const socklen_t size = fill(storage, address, port);
  const int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail(fmt::format("cannot make a socket: {}", std::strerror(errno)));
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  limit_silence(fd, tcp_timeout);
  if (connect(fd, reinterpret_cast<sockaddr*>(&storage), size) != 0 && errno != EINPROGRESS) {
    const int error = errno;
    close(fd);
    return fail(fmt::format("cannot connect to {}: {}", address_text(address, port), std::strerror(error)));
  }
  return fd;
}

int accept_from(int listening, IpAddress& address, uint16_t& port) {
  sockaddr_storage storage;
  socklen_t size = sizeof(storage);
  const int fd =
      accept4(listening, reinterpret_cast<sockaddr*>(&storage), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return fd;
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (storage.ss_family == AF_INET) {
    const auto& from = reinterpret_cast<const sockaddr_in&>(storage);
    address = IpAddress::v4(reinterpret_cast<const uint8_t*>(&from.sin_addr));
    port = ntohs(from.sin_port);
  } else {
    IpAddress::Bytes bytes;
    const auto& from = reinterpret_cast<const sockaddr_in6&>(storage);
    std::memcpy(bytes.data(), &from.sin6_addr, bytes.size());
    address = IpAddress::v6(bytes);
    port = ntohs(from.sin6_port);
  }
  return fd;
}

Result<int> listen_on(const IpAddress& address, uint16_t port, bool shared) {
  sockaddr_storage storage;
  const socklen_t size = fill(storage, address, port);
  const int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail(fmt::format("cannot make a socket: {}", std::strerror(errno)));
  set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (shared) set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  if (address.is_v6()) set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  if (bind(fd, reinterpret_cast<sockaddr*>(&storage), size) != 0 || listen(fd, kBacklog) != 0) {
    const int error = errno;
    close(fd);
    return fail(fmt::format("cannot listen on {}: {}{}", address_text(address, port), std::strerror(error),
                            error == EADDRINUSE ? kInUse : ""));
  }
  // Only now, so that the kernel has refused it where another process listens, also with this option.
  if (!shared) set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  return fd;
}

}  // namespace sluice::l7
