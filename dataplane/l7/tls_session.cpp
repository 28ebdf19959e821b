#include "dataplane/l7/tls_session.h"

#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "dataplane/l7/openssl_handles.h"
#include "dataplane/l7/tls_client_context.h"

namespace sluice::l7 {
namespace {

constexpr size_t kRecord = SSL3_RT_MAX_PLAIN_LENGTH;
// A first piece of this size is sent as it is; smaller ones are copied together, which costs less than a
// record for each: 22 bytes, a call of the cipher and a system call.
constexpr size_t kRecordWorthwhile = kRecord / 2;
// With less room than this left, OpenSSL is kept from reading more than the record it is at: what it holds
// already (a buffer of a record and its frame) and the rest of that record have room for sure.
constexpr size_t kReadAheadRoom = 3 * kRecord + 2048;

// The front of `queue`, up to a record: where it lies, if that is enough, or copied together.
std::span<const uint8_t> gather(const ByteQueue& queue, size_t wanted,
                                std::array<uint8_t, kRecord>& together) {
  const std::span<const uint8_t> front = queue.front();
  const size_t size = wanted != 0 ? wanted : std::min(queue.size(), kRecord);
  if (front.size() >= size) return front.first(size);
  if (wanted == 0 && front.size() >= kRecordWorthwhile) return front;
  std::array<iovec, 64> pieces;
  const auto count = static_cast<size_t>(queue.pieces(pieces));
  size_t copied = 0;
  for (size_t i = 0; i < count && copied < size; ++i) {
    const size_t part = std::min(pieces[i].iov_len, size - copied);
    std::memcpy(together.data() + copied, pieces[i].iov_base, part);
    copied += part;
  }
  return {together.data(), copied};
}

}  // namespace

TlsSession::TlsSession(ssl_st* ssl, Role role, std::shared_ptr<const void> context,
                       std::shared_ptr<TlsResumption> resumption)
    : ssl_(ssl), context_(std::move(context)), resumption_(std::move(resumption)), role_(role) {
  SSL_set_app_data(ssl_, this);
}

TlsSession::~TlsSession() {
  // As if goodbyes had been said: without them OpenSSL bars the session from being resumed.
  if (!broken_) SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(ssl_);
}

void TlsSession::fail_with(TlsFailure failure, std::string detail) {
  broken_ = true;
  failure_ = failure;
  failure_detail_ = std::move(detail);
}

// Why a call of OpenSSL's did not do its work.
IoStatus TlsSession::stopped(int result) {
  const int error = errno;
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
      wants_room_ = false;
      return IoStatus::kBlocked;
    case SSL_ERROR_WANT_WRITE:
      wants_room_ = true;
      return IoStatus::kBlocked;
    case SSL_ERROR_ZERO_RETURN:
      return IoStatus::kClosed;
    case SSL_ERROR_SYSCALL:
      fail_with(established_ ? TlsFailure::kNone : TlsFailure::kClosed, std::strerror(error));
      return IoStatus::kFailed;
    default: {
      TlsVerdict verdict = take_tls_verdict(SSL_get_verify_result(ssl_));
      if (verdict.failure == TlsFailure::kTruncated && !established_) verdict.failure = TlsFailure::kClosed;
      fail_with(verdict.failure, std::move(verdict.detail));
      return IoStatus::kFailed;
    }
  }
}

IoStatus TlsSession::handshake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_);
  if (result != 1) {
    const IoStatus status = stopped(result);
    return status == IoStatus::kClosed ? IoStatus::kFailed : status;
  }
  established_ = true;
  wants_room_ = false;
  // The kernel decrypts whole records: there is nothing to read ahead of.
  read_ahead_ = BIO_get_ktls_recv(SSL_get_rbio(ssl_)) == 0;
  return IoStatus::kDone;
}

IoStatus TlsSession::read(std::span<uint8_t> into, size_t& bytes) {
  if (input_over()) return input_over_;
  size_t total = 0;
  wants_room_ = false;
  while (into.size() - total >= kRecord) {
    const size_t room = into.size() - total;
    SSL_set_read_ahead(ssl_, read_ahead_ && room >= kReadAheadRoom);
    ERR_clear_error();
    size_t got = 0;
    const int result = SSL_read_ex(ssl_, into.data() + total, room, &got);
    if (result == 1) {
      total += got;
      // Behind a small record with nothing after it, another read would find nothing either.
      if (got < kRecordWorthwhile && SSL_has_pending(ssl_) == 0) break;
      continue;
    }
    const IoStatus status = stopped(result);
    if (status != IoStatus::kBlocked) input_over_ = status;
    break;
  }
  if (total == 0) return input_over() ? input_over_ : IoStatus::kBlocked;
  bytes = total;
  return IoStatus::kDone;
}

IoStatus TlsSession::flush(ByteQueue& queue) {
  if (broken_) return IoStatus::kFailed;
  while (!queue.empty()) {
    std::array<uint8_t, kRecord> together;
    const std::span<const uint8_t> record = gather(queue, unsent_record_, together);
    ERR_clear_error();
    size_t sent = 0;
    const int result = SSL_write_ex(ssl_, record.data(), record.size(), &sent);
    if (result == 1) {
      unsent_record_ = 0;
      queue.consume(sent);
      continue;
    }
    const bool read_wants_room = wants_room_;
    if (stopped(result) != IoStatus::kBlocked) return IoStatus::kFailed;
    wants_room_ = read_wants_room;
    unsent_record_ = record.size();
    return IoStatus::kBlocked;
  }
  return IoStatus::kDone;
}

IoStatus TlsSession::end_output() {
  if (broken_) return IoStatus::kFailed;
  if (!established_) return IoStatus::kDone;
  ERR_clear_error();
  const int result = SSL_shutdown(ssl_);
  if (result >= 0) return IoStatus::kDone;
  return stopped(result) == IoStatus::kBlocked ? IoStatus::kBlocked : IoStatus::kFailed;
}

std::string_view TlsSession::protocol() const {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_, &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

std::string_view TlsSession::server_name() const {
  const char* name = SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name);
  return name == nullptr ? std::string_view() : name;
}

bool TlsSession::resumed() const {
  return SSL_session_reused(ssl_) == 1;
}

const char* TlsSession::version() const {
  return SSL_get_version(ssl_);
}

const char* TlsSession::cipher() const {
  return SSL_get_cipher_name(ssl_);
}

std::string TlsSession::peer_subject() const {
  const X509* certificate = SSL_get0_peer_certificate(ssl_);
  const BioHandle text(BIO_new(BIO_s_mem()));
  if (certificate == nullptr || !text) return {};
  X509_NAME_print_ex(text.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
  char* letters = nullptr;
  const long size = BIO_get_mem_data(text.get(), &letters);
  return {letters, static_cast<size_t>(size)};
}

bool TlsSession::kernel_sends() const {
  return BIO_get_ktls_send(SSL_get_wbio(ssl_)) != 0;
}

int TlsSession::on_new_session(ssl_st* ssl, ssl_session_st* session) {
  auto& self = *static_cast<TlsSession*>(SSL_get_app_data(ssl));
  if (!self.resumption_) return 0;
  self.resumption_->keep(SslSessionHandle(session), self.context_);
  return 1;  // ours now
}

}  // namespace sluice::l7
