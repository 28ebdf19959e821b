// The socket under a connection: bytes in and out, without waiting.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/l7/byte_queue.h"
#include "lb/address.h"
#include "lb/result.h"

namespace sluice::l7 {

enum class IoStatus : uint8_t { kDone, kBlocked, kClosed, kFailed };

class Transport {
 public:
  /// Takes over a non-blocking socket.
  explicit Transport(int fd) : fd_(fd) {}
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  ~Transport();

  int fd() const { return fd_; }
  /// Reads once. kDone with `bytes` > 0, kBlocked, kClosed (the peer has ended its side) or kFailed.
  IoStatus read(std::span<uint8_t> into, size_t& bytes);
  /// Sends from the front of `queue`: kDone when all went, kBlocked when the socket is full, or kFailed.
  IoStatus flush(ByteQueue& queue);
  /// Tells the peer that nothing more comes.
  void end_output();
  /// What a non-blocking connect() has come to: 0 or an errno.
  int connect_result() const;

 private:
  int fd_;
};

/// Begins to connect, without waiting; the socket is writable when it is over. Errors: descriptor limits, no
/// route.
Result<int> start_connect(const IpAddress& address, uint16_t port);

/// A listening socket that shares its address with those of other workers (SO_REUSEPORT).
Result<int> listen_on(const IpAddress& address, uint16_t port);

}  // namespace sluice::l7
