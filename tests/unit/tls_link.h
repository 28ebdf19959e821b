// Two transports on the ends of a socket pair, in one thread.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <csignal>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "dataplane/l7/tls_client_context.h"
#include "dataplane/l7/tls_server_context.h"
#include "dataplane/l7/transport.h"

namespace sluice::l7::test {

inline std::pair<int, int> socket_pair() {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) != 0) std::abort();
  // OpenSSL writes without MSG_NOSIGNAL; the proxy's workers block the signal.
  std::signal(SIGPIPE, SIG_IGN);
  return {ends[0], ends[1]};
}

/// A server's and a client's transport that talk to each other.
struct Link {
  Link(const TlsServerContext::Pointer& server_context, const TlsClientContext::Pointer& client_context,
       const std::shared_ptr<TlsResumption>& resumption = nullptr)
      : Link(server_context, client_context, resumption, socket_pair()) {}
  /// The client is an SSL of the test's.
  Link(const TlsServerContext::Pointer& server_context, SSL_CTX* client_context)
      : Link(server_context, client_context, socket_pair()) {}

  /// Both handshakes, as far as they go. True if both were done.
  bool shake() {
    IoStatus server_status = IoStatus::kBlocked;
    IoStatus client_status = IoStatus::kBlocked;
    for (int step = 0; step < 10; ++step) {
      if (client_status == IoStatus::kBlocked) client_status = client.tls()->handshake();
      if (server_status == IoStatus::kBlocked) server_status = server.tls()->handshake();
    }
    return server_status == IoStatus::kDone && client_status == IoStatus::kDone;
  }
  TlsFailure server_failure() const { return server.tls()->failure(); }
  TlsFailure client_failure() const { return client.tls()->failure(); }
  SSL* raw_client() const { return raw_client_; }

  Transport server;
  Transport client;

 private:
  Link(const TlsServerContext::Pointer& server_context, const TlsClientContext::Pointer& client_context,
       const std::shared_ptr<TlsResumption>& resumption, std::pair<int, int> ends)
      : server(ends.first, server_context->open_session(ends.first)),
        client(ends.second, client_context->open_session(ends.second, "127.0.0.1", resumption)) {}
  Link(const TlsServerContext::Pointer& server_context, SSL_CTX* client_context, std::pair<int, int> ends)
      : server(ends.first, server_context->open_session(ends.first)),
        client(ends.second, wrap(client_context, ends.second)),
        raw_client_(last_wrapped_) {}

  std::unique_ptr<TlsSession> wrap(SSL_CTX* context, int fd) {
    last_wrapped_ = SSL_new(context);
    SSL_set_fd(last_wrapped_, fd);
    SSL_set_connect_state(last_wrapped_);
    return std::make_unique<TlsSession>(last_wrapped_, TlsSession::Role::kClient, nullptr);
  }

  inline static SSL* last_wrapped_ = nullptr;
  SSL* raw_client_ = nullptr;
};

/// Sends `text` one way and returns what comes out there.
inline std::string carry(Transport& from, Transport& to, ChunkPool& chunks, std::string_view text) {
  ByteQueue queue(chunks);
  queue.append({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  std::string got;
  std::vector<uint8_t> buffer(64 * 1024);
  for (int idle = 0; got.size() < text.size() && idle < 10; ++idle) {
    if (from.flush(queue) == IoStatus::kFailed) return got;
    size_t bytes = 0;
    while (to.read(buffer, bytes) == IoStatus::kDone) {
      got.append(reinterpret_cast<const char*>(buffer.data()), bytes);
      idle = 0;
    }
  }
  return got;
}

}  // namespace sluice::l7::test
