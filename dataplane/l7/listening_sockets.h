// The listening sockets of a configuration: opened, kept over reloads, and taken over from another process.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/l7/settings.h"
#include "lb/address.h"
#include "lb/result.h"

namespace sluice::l7 {

/// One listening socket, closed when nobody holds it any more.
class BoundSocket {
 public:
  /// Takes the descriptor over.
  BoundSocket(const IpAddress& address, uint16_t port, int fd) : address_(address), port_(port), fd_(fd) {}
  BoundSocket(const BoundSocket&) = delete;
  BoundSocket& operator=(const BoundSocket&) = delete;
  ~BoundSocket();

  /// Of a descriptor that has come from elsewhere, which is taken over or closed. Errors: no listening TCP
  /// socket.
  static Result<std::shared_ptr<const BoundSocket>> adopt(int fd);

  const IpAddress& address() const { return address_; }
  uint16_t port() const { return port_; }
  int fd() const { return fd_; }

 private:
  IpAddress address_;
  uint16_t port_;
  int fd_;
};

using BoundSockets = std::vector<std::shared_ptr<const BoundSocket>>;

/// The sockets for all listeners of `settings`: all those of `have` that are on the address and port of one,
/// and new ones until each worker has one of each. Where the kernel lets none be added to those of `have`
/// (they belong to another user), workers share. Nobody else may listen on the address of a first socket.
/// Errors name the listener; nothing stays open then that was not before.
Result<BoundSockets> open_sockets(const ProxySettings& settings, const BoundSockets& have);

/// For each listener the sockets that this worker accepts from. All workers together accept from every
/// socket: the kernel spreads connections over all of them, and what waits in one that nobody accepts from
/// is lost.
std::vector<BoundSockets> sockets_of_worker(const ProxySettings& settings, const BoundSockets& all,
                                            uint32_t worker);

}  // namespace sluice::l7
