#include "control/netlink.h"

#include <fmt/format.h>
#include <libmnl/libmnl.h>

#include <cerrno>
#include <cstring>

namespace sluice::control {
namespace {

/// The kernel fills datagrams of a dump up to 32 KiB if it sees that we can take them (netlink_dump()).
constexpr size_t kBufferBytes = 32768;
/// Other work of the thread gets its turn after so many.
constexpr int kDatagramsPerTurn = 32;

tl::unexpected<Error> failed(const char* what) {
  return fail(fmt::format("cannot {} a netlink socket: {}", what, std::strerror(errno)));
}

}  // namespace

void Netlink::Close::operator()(mnl_socket* socket) const {
  mnl_socket_close(socket);
}

Result<std::unique_ptr<Netlink>> Netlink::open(boost::asio::io_context& io, std::span<const unsigned> groups,
                                               int receive_buffer_bytes, Listener listener) {
  std::unique_ptr<mnl_socket, Close> socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!socket) {
    return failed("open");
  }
  if (mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) != 0) {
    return failed("bind");
  }
  const int fd = mnl_socket_get_fd(socket.get());
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer_bytes, sizeof(receive_buffer_bytes)) != 0 &&
      setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof(receive_buffer_bytes)) != 0) {
    return failed("size the buffer of");
  }
  for (unsigned group : groups) {
    if (mnl_socket_setsockopt(socket.get(), NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) != 0) {
      return failed("join a group of");
    }
  }
  std::unique_ptr<Netlink> netlink(new Netlink(io, socket.release(), std::move(listener)));
  netlink->wait();
  return netlink;
}

Netlink::Netlink(boost::asio::io_context& io, mnl_socket* socket, Listener listener)
    : socket_(socket),
      descriptor_(io, mnl_socket_get_fd(socket)),
      listener_(std::move(listener)),
      buffer_(kBufferBytes) {}

Netlink::~Netlink() {
  descriptor_.release();
}

Result<void> Netlink::send(const nlmsghdr& message) {
  if (mnl_socket_sendto(socket_.get(), &message, message.nlmsg_len) < 0) {
    return failed("send on");
  }
  return {};
}

void Netlink::wait() {
  descriptor_.async_wait(boost::asio::posix::descriptor_base::wait_read,
                         [this, alive = std::weak_ptr(alive_)](const boost::system::error_code& error) {
                           if (!error && !alive.expired()) {
                             read();
                           }
                         });
}

void Netlink::read() {
  for (int i = 0; i < kDatagramsPerTurn && read_datagram(); ++i) {
  }
  wait();
}

bool Netlink::read_datagram() {
  const ssize_t received = mnl_socket_recvfrom(socket_.get(), buffer_.data(), buffer_.size());
  if (received < 0) {
    // ENOBUFS: the kernel had no room for us; ENOSPC: libmnl saw a datagram larger than our buffer.
    if (errno != EAGAIN && errno != EINTR) {
      listener_.on_overrun();
    }
    return false;
  }
  int left = static_cast<int>(received);
  const auto* message = reinterpret_cast<const nlmsghdr*>(buffer_.data());
  for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
    listener_.on_message(*message);
  }
  return true;
}

}  // namespace sluice::control
