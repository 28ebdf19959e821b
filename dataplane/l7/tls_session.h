// TLS on one connection's socket, without waiting. Contexts make it; the transport asks it for what the plain
// socket gives otherwise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "dataplane/l7/byte_queue.h"
#include "dataplane/l7/io_status.h"
#include "dataplane/l7/tls_failure.h"

// OpenSSL's, so that its headers stay out of those who only hold a connection.
struct ssl_st;
struct ssl_session_st;

namespace sluice::l7 {

class TlsResumption;

class TlsSession {
 public:
  enum class Role : uint8_t { kServer, kClient };

  /// Takes over `ssl`, which has its descriptor and its role. `context` is what its callbacks need; it lives
  /// as long as the session. A client's new sessions go to `resumption`, if any.
  TlsSession(ssl_st* ssl, Role role, std::shared_ptr<const void> context,
             std::shared_ptr<TlsResumption> resumption = nullptr);
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;
  /// Says nothing to the peer: what broke off must not look whole.
  ~TlsSession();

  /// A step of the handshake: kDone when it is over, kBlocked (wants_room() says for what), kFailed.
  IoStatus handshake();
  /// Reads what is there, up to the size of `into`, which is at least 32 KB. Nothing is left in here that the
  /// socket would not announce, but for the end (see input_over()). kClosed: the peer said that this is the
  /// end; kFailed also if it left without a word.
  IoStatus read(std::span<uint8_t> into, size_t& bytes);
  /// Sends from the front of `queue`, in records as large as possible.
  IoStatus flush(ByteQueue& queue);
  /// Tells the peer that nothing more comes: kDone, kBlocked (to be called again) or kFailed.
  IoStatus end_output();
  /// No answer came in time.
  void give_up() { fail_with(TlsFailure::kTimedOut, {}); }

  Role role() const { return role_; }
  /// Whether what the handshake or the last read() waits for is room in the socket, not data from it.
  bool wants_room() const { return wants_room_; }
  /// The end or a failure has been met behind data: the next read() tells.
  bool input_over() const { return input_over_ != IoStatus::kDone; }

  TlsFailure failure() const { return failure_; }
  /// OpenSSL's words for the failure; may be empty.
  const std::string& failure_detail() const { return failure_detail_; }

  // --- after the handshake
  bool established() const { return established_; }
  /// The protocol agreed on, "" if none was spoken of. Lives as long as the session.
  std::string_view protocol() const;
  /// The name that the client asked for, "" for none.
  std::string_view server_name() const;
  bool resumed() const;
  /// "TLSv1.3".
  const char* version() const;
  const char* cipher() const;
  /// The subject of the peer's certificate as RFC 2253 writes it, with control characters escaped; "" if it
  /// showed none. Towards clients it has been verified.
  std::string peer_subject() const;
  /// Whether the kernel makes the records of what is sent.
  bool kernel_sends() const;

  /// OpenSSL's callback.
  static int on_new_session(ssl_st* ssl, ssl_session_st* session);

 private:
  IoStatus stopped(int result);
  void fail_with(TlsFailure failure, std::string detail);

  ssl_st* ssl_;
  std::shared_ptr<const void> context_;
  std::shared_ptr<TlsResumption> resumption_;
  std::string failure_detail_;
  size_t unsent_record_ = 0;  // a record that the socket has not taken whole: the next try gives the same
  Role role_;
  IoStatus input_over_ = IoStatus::kDone;
  TlsFailure failure_ = TlsFailure::kNone;
  bool established_ = false;
  bool broken_ = false;  // no further word to the peer
  bool wants_room_ = false;
  bool read_ahead_ = false;
};

}  // namespace sluice::l7
