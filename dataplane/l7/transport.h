// The socket under a connection: bytes in and out, without waiting.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "dataplane/l7/byte_queue.h"
#include "dataplane/l7/io_status.h"
#include "dataplane/l7/tls_session.h"
#include "lb/address.h"
#include "lb/result.h"

namespace sluice::l7 {

class Transport {
 public:
  /// Takes over a non-blocking socket; with `tls`, what goes over it is encrypted.
  explicit Transport(int fd, std::unique_ptr<TlsSession> tls = nullptr) : fd_(fd), tls_(std::move(tls)) {}
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  ~Transport();

  int fd() const { return fd_; }
  /// nullptr for a plain socket.
  TlsSession* tls() { return tls_.get(); }
  const TlsSession* tls() const { return tls_.get(); }
  /// Reading goes on when the socket is writable: TLS has something to say first.
  bool read_wants_room() const { return tls_ != nullptr && tls_->wants_room(); }
  /// The next read() tells of the end, whether the socket is readable or not.
  bool input_over() const { return tls_ != nullptr && tls_->input_over(); }
  /// Reads once. kDone with `bytes` > 0, kBlocked, kClosed (the peer has ended its side) or kFailed.
  IoStatus read(std::span<uint8_t> into, size_t& bytes);
  /// Sends from the front of `queue`: kDone when all went, kBlocked when the socket is full, or kFailed.
  IoStatus flush(ByteQueue& queue);
  /// Tells the peer that nothing more comes. kDone, kBlocked (to be called again when the socket is writable)
  /// or kFailed.
  IoStatus end_output();
  /// Has close() send a reset: the peer must not take what it got for whole.
  void abort();
  /// The peer's port; 0 if it has gone.
  uint16_t peer_port() const;
  /// What a non-blocking connect() has come to: 0 or an errno.
  int connect_result() const;

 private:
  int fd_;
  std::unique_ptr<TlsSession> tls_;
};

/// Begins to connect, without waiting; the socket is writable when it is over. The connection is lost when
/// what it has sent, or probes while it is idle, stay without acknowledgement for `tcp_timeout` (RFC 5482,
/// RFC 9293 section 3.8.4); 0: as the kernel has it. Errors: descriptor limits, no route.
Result<int> start_connect(const IpAddress& address, uint16_t port, std::chrono::milliseconds tcp_timeout);

/// Takes a connection that waits at a listening socket, non-blocking and without delays of its own
/// (TCP_NODELAY), and tells whose it is. Below 0: none waits, or no descriptor is left.
int accept_from(int listening, IpAddress& address, uint16_t& port);

/// A listening socket that others of this user may share its address with (SO_REUSEPORT). Errors: no such
/// address, no right to; if not `shared`, somebody listens there already, be it with SO_REUSEPORT.
Result<int> listen_on(const IpAddress& address, uint16_t port, bool shared);

}  // namespace sluice::l7
