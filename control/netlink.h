// A netlink socket to the kernel's routing tables, read by an io_context.
#pragma once

#include <linux/netlink.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "lb/result.h"

struct mnl_socket;

namespace sluice::control {

/// A non-blocking NETLINK_ROUTE socket. Lives on the thread that runs its io_context.
class Netlink {
 public:
  struct Listener {
    std::function<void(const nlmsghdr&)> on_message;  ///< one message, whole as to its length
    /// The kernel dropped messages because we were slow: what we know may be out of date.
    std::function<void()> on_overrun;
  };

  /// Joins multicast `groups` (RTNLGRP_*). `receive_buffer_bytes` is what the kernel may queue for us;
  /// without CAP_NET_ADMIN net.core.rmem_max limits it. The listener is called from the io_context only,
  /// never after this object is gone, and must not destroy it.
  static Result<std::unique_ptr<Netlink>> open(boost::asio::io_context& io, std::span<const unsigned> groups,
                                               int receive_buffer_bytes, Listener listener);
  ~Netlink();
  Netlink(const Netlink&) = delete;
  Netlink& operator=(const Netlink&) = delete;

  /// Sends one message. The kernel works on it before this returns; the answer waits for the io_context.
  Result<void> send(const nlmsghdr& message);

 private:
  struct Close {
    void operator()(mnl_socket* socket) const;
  };

  Netlink(boost::asio::io_context& io, mnl_socket* socket, Listener listener);
  void wait();
  void read();
  /// False if nothing is left to read for now.
  bool read_datagram();

  std::unique_ptr<mnl_socket, Close> socket_;
  boost::asio::posix::stream_descriptor descriptor_;  ///< of socket_, which owns it
  Listener listener_;
  std::vector<std::byte> buffer_;
  std::shared_ptr<const bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace sluice::control
