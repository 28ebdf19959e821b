// What client and upstream connections have in common: a socket, bytes that wait on either side, and their
// turn in the worker's loop. All that a wake-up made them write goes out at its end, in one call.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "dataplane/l7/byte_queue.h"
#include "dataplane/l7/event_loop.h"
#include "dataplane/l7/intrusive_list.h"
#include "dataplane/l7/memory_ledger.h"
#include "dataplane/l7/timer_wheel.h"
#include "dataplane/l7/traffic_counters.h"
#include "dataplane/l7/transport.h"

namespace sluice::l7 {

struct ConnectionView;
struct WorkerContext;
struct UnflushedTag;

class Connection : public IoHandler, public ListLink<UnflushedTag> {
 public:
  /// `bytes` counts what goes over it, and lives as long. `tls` for a connection that begins with a TLS
  /// handshake.
  Connection(WorkerContext& worker, int fd, WireBytes& bytes, std::unique_ptr<TlsSession> tls = nullptr);
  ~Connection() override;

  void on_ready(uint32_t events) final;
  /// Asks for a flush at the end of the wake-up. To be called by whoever has written to output().
  void wake_output();
  /// Sends what waits; the worker calls it at the end of a wake-up.
  void flush();

  /// Looks at what it makes the proxy hold, which is much; called at the end of a wake-up as long as that is
  /// so.
  virtual void weigh() {}

  ByteQueue& output() { return output_; }
  MemoryAccount& account() { return account_; }
  const MemoryAccount& account() const { return account_; }
  bool closed() const { return closed_; }
  /// nullptr on a plain connection.
  const TlsSession* tls() const { return transport_.tls(); }
  /// The socket is not connected yet.
  bool connecting() const { return connecting_; }
  /// TLS is not agreed on yet: output waits.
  bool handshaking() const { return handshaking_; }
  /// What is the same for clients and endpoints: TLS, age, bytes, how far it is.
  void describe(ConnectionView& view) const;

 protected:
  /// New bytes, in front of them those left over before. What it leaves in `input` comes again with more
  /// behind it.
  virtual void on_input(std::span<const uint8_t>& input) = 0;
  /// The connection is of no use any more: the peer closed it, or it failed (`why`). Called once, then it is
  /// deleted.
  virtual void on_closed(const char* why) = 0;
  /// The output has drained, so that streams which waited for room can go on.
  virtual void on_drained() = 0;
  /// The socket became writable for the first time: connected, or not (an errno).
  virtual void on_connected(int error) = 0;
  /// TLS is agreed on; input comes from now on. `protocol` is the one chosen by ALPN, "" if the peer spoke of
  /// none. Not called on a plain connection.
  virtual void on_handshake_done(std::string_view /*protocol*/) {}
  /// The peer has ended its side. True: the connection goes on for what is still to be sent; it reads no
  /// more.
  virtual bool on_end_of_input() { return false; }

  /// What the object and its codec take, in bytes, has changed to this.
  void hold(size_t bytes) {
    account_.change(held_, bytes);
    held_ = bytes;
  }
  /// The peer has begun something that is not whole.
  bool has_unread() const { return !unread_.empty(); }
  /// The output waits for the peer, which has taken none of it since then.
  bool write_blocked() const { return write_blocked_; }
  std::chrono::steady_clock::time_point write_blocked_since() const { return write_blocked_since_; }
  /// The peer begins not to take what is sent.
  virtual void on_write_blocked() {}
  uint16_t peer_port() const { return transport_.peer_port(); }

  /// Watches the socket. `connecting`: on_connected() comes first.
  bool watch(bool connecting);
  /// Whether to read. When it is to be read again, what was left over is offered at the end of the wake-up.
  void read_on(bool wanted);
  /// Tells the peer, when all output is sent, that nothing more comes, and reads on.
  void end_output_after_flush();
  /// Closes so that the peer sees a failure.
  void abort(const char* why);
  /// Closes when all output is sent. What the peer sends until it has seen that is dropped: a close with
  /// unread bytes would take the last ones sent away from it.
  void close_after_flush();
  /// Closes now.
  void close(const char* why);
  /// Closes because the peer was too slow to agree on TLS.
  void time_out_handshake();

  WorkerContext& worker_;

 private:
  void read();
  void handshake();
  void close_failed();
  void set_interest(uint32_t events);
  void update_interest();
  void offer(std::span<const uint8_t> input);
  void keep_unread(std::span<const uint8_t> input);
  void finish_output();

  MemoryAccount account_;
  Transport transport_;
  WireBytes& bytes_;
  ByteQueue output_;
  const std::chrono::steady_clock::time_point opened_at_;
  uint64_t bytes_in_ = 0;  // without TLS's
  uint64_t bytes_out_ = 0;
  std::vector<uint8_t> unread_;  // the beginning of a frame
  size_t held_ = 0;
  size_t unread_held_ = 0;
  std::chrono::steady_clock::time_point write_blocked_since_{};
  uint32_t interest_ = 0;
  bool connecting_ = false;
  bool handshaking_;
  bool closing_ = false;
  bool closed_ = false;
  bool write_blocked_ = false;
  bool reading_ = true;
  bool input_ended_ = false;
  bool ending_output_ = false;
  bool output_ended_ = false;
  bool lingering_ = false;
  bool unread_due_ = false;  // reading was taken up again
  Timer linger_timer_;
};

}  // namespace sluice::l7
