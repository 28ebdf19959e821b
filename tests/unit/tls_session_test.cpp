// Bytes through TLS, over sockets that are full, slow, closed or not what they seem.
#include "dataplane/l7/tls_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <random>
#include <vector>

#include "tests/unit/tls_files.h"
#include "tests/unit/tls_link.h"

namespace sluice::l7 {
namespace {

using test::Link;
using test::TestAuthority;
using test::TestFolder;

constexpr size_t kReadBytes = 64 * 1024;

std::vector<uint8_t> noise(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> bytes(size);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

bool readable(int fd) {
  pollfd event{fd, POLLIN, 0};
  return poll(&event, 1, 0) == 1;
}

/// Reads as a connection does: when the socket is readable, until less came than was asked for.
IoStatus read_turn(Transport& from, std::vector<uint8_t>& into) {
  std::vector<uint8_t> buffer(kReadBytes);
  while (true) {
    size_t bytes = 0;
    const IoStatus status = from.read(buffer, bytes);
    if (status != IoStatus::kDone) return status;
    into.insert(into.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(bytes));
    if (bytes < kReadBytes && !from.input_over()) return IoStatus::kBlocked;
  }
}

/// The sizes of TLS records that wait on a socket.
std::vector<size_t> records_on(int fd) {
  std::vector<uint8_t> raw(256 * 1024);
  size_t size = 0;
  for (ssize_t got = 0; (got = recv(fd, raw.data() + size, raw.size() - size, MSG_DONTWAIT)) > 0;)
    size += static_cast<size_t>(got);
  std::vector<size_t> sizes;
  for (size_t at = 0; at + 5 <= size;) {
    sizes.push_back(static_cast<size_t>(raw[at + 3]) << 8 | raw[at + 4]);
    at += 5 + sizes.back();
  }
  return sizes;
}

class TlsSessionTest : public testing::Test {
 protected:
  TlsSessionTest() {
    TlsServerSettings server;
    server.certificates = {authority.issue("site", {.alternatives = "IP:127.0.0.1"})};
    server_context =
        *TlsServerContext::load(server, std::make_shared<TlsTicketKeys>(TlsTicketKeys::Clock::now()),
                                std::chrono::system_clock::now());
    TlsClientSettings client;
    client.ca = authority.file();
    client_context = *TlsClientContext::load(client, std::chrono::system_clock::now());
  }

  /// A link with its handshake done and nothing on the wire.
  std::unique_ptr<Link> linked() {
    auto link = std::make_unique<Link>(server_context, client_context);
    EXPECT_TRUE(link->shake());
    std::vector<uint8_t> tickets;
    read_turn(link->client, tickets);
    return link;
  }

  TestFolder folder;
  TestAuthority authority{folder, "authority"};
  TlsServerContext::Pointer server_context;
  TlsClientContext::Pointer client_context;
  ChunkPool chunks;
};

TEST_F(TlsSessionTest, LargeTransfersInBothDirectionsAtOnce) {
  const auto link = linked();
  const auto up = noise(5'000'000, 1);
  const auto down = noise(7'000'000, 2);
  ByteQueue to_server(chunks);
  ByteQueue to_client(chunks);
  to_server.append(up);
  to_client.append(down);
  std::vector<uint8_t> at_server;
  std::vector<uint8_t> at_client;
  bool was_blocked = false;
  for (int turn = 0; turn < 10'000 && (at_server.size() < up.size() || at_client.size() < down.size());
       ++turn) {
    was_blocked |= link->client.flush(to_server) == IoStatus::kBlocked;
    was_blocked |= link->server.flush(to_client) == IoStatus::kBlocked;
    read_turn(link->server, at_server);
    read_turn(link->client, at_client);
  }
  EXPECT_TRUE(was_blocked);
  EXPECT_TRUE(at_server == up);
  EXPECT_TRUE(at_client == down);
}

TEST_F(TlsSessionTest, BytesThatComeOneByOne) {
  const auto [server_end, server_wire] = test::socket_pair();
  const auto [client_end, client_wire] = test::socket_pair();
  Transport server(server_end, server_context->open_session(server_end));
  Transport client(client_end, client_context->open_session(client_end, "127.0.0.1", nullptr));
  const auto up = noise(3'000, 1);
  const auto down = noise(20'000, 2);
  ByteQueue to_server(chunks);
  ByteQueue to_client(chunks);
  to_server.append(up);
  to_client.append(down);
  std::vector<uint8_t> at_server;
  std::vector<uint8_t> at_client;
  const auto step = [](Transport& transport, ByteQueue& queue, std::vector<uint8_t>& into) {
    if (!transport.tls()->established()) {
      ASSERT_NE(transport.tls()->handshake(), IoStatus::kFailed);
      return;
    }
    ASSERT_NE(transport.flush(queue), IoStatus::kFailed);
    ASSERT_EQ(read_turn(transport, into), IoStatus::kBlocked);
  };
  for (int turn = 0; turn < 100'000 && (at_server.size() < up.size() || at_client.size() < down.size());
       ++turn) {
    ASSERT_NO_FATAL_FAILURE(step(client, to_server, at_client));
    ASSERT_NO_FATAL_FAILURE(step(server, to_client, at_server));
    char byte = 0;
    for (const auto& [from, to] : {std::pair(client_wire, server_wire), {server_wire, client_wire}}) {
      if (recv(from, &byte, 1, MSG_DONTWAIT) == 1) {
        ASSERT_EQ(send(to, &byte, 1, 0), 1);
      }
    }
  }
  EXPECT_TRUE(at_server == up);
  EXPECT_TRUE(at_client == down);
  close(server_wire);
  close(client_wire);
}

TEST_F(TlsSessionTest, NothingIsLeftInsideThatTheSocketDoesNotAnnounce) {
  std::mt19937 random(7);
  const auto link = linked();
  ByteQueue queue(chunks);
  const auto data = noise(140'000, 3);
  for (int round = 0; round < 200; ++round) {
    size_t sent = 0;
    std::vector<uint8_t> got;
    // Records of all sizes; for one read, for two, or just too many for one.
    const size_t total = 40'000 + random() % 100'000;
    while (sent < total) {
      const std::array<size_t, 4> sizes{1, 200, 3'000, 16'384};
      const size_t size = std::min<size_t>(1 + random() % sizes[random() % 4], total - sent);
      queue.append(std::span(data).subspan(sent, size));
      sent += size;
      if (link->client.flush(queue) == IoStatus::kBlocked) break;
    }
    while (!queue.empty() || readable(link->server.fd())) {
      while (readable(link->server.fd())) ASSERT_EQ(read_turn(link->server, got), IoStatus::kBlocked);
      ASSERT_NE(link->client.flush(queue), IoStatus::kFailed);
    }
    ASSERT_EQ(got.size(), sent) << "round " << round;
    ASSERT_TRUE(std::equal(got.begin(), got.end(), data.begin()));
  }
}

TEST_F(TlsSessionTest, SmallChunksTravelTogether) {
  const auto link = linked();
  ByteQueue queue(chunks);
  // Each in a chunk of its own, because the next one wants more room than is left.
  for (int i = 0; i < 20; ++i) {
    queue.reserve(16'000);
    queue.commit(1'000);
  }
  ASSERT_EQ(link->server.flush(queue), IoStatus::kDone);
  const size_t overhead = 17;  // of TLS 1.3: content type and tag
  EXPECT_THAT(records_on(link->client.fd()), testing::ElementsAre(16'384 + overhead, 3'616 + overhead));
}

TEST_F(TlsSessionTest, ARecordThatWasNotTakenIsSentFromWhereverItLiesThen) {
  const auto link = linked();
  ByteQueue queue(chunks);
  // Copied together anew with each try, on the stack; elsewhere if the caller is a deeper one.
  const auto flush_from = [&](const auto& self, int depth) -> IoStatus {
    volatile char room[512];
    room[0] = 1;
    const IoStatus status = depth == 0 ? link->server.flush(queue) : self(self, depth - 1);
    return room[0] == 1 ? status : IoStatus::kFailed;
  };
  size_t sent = 0;
  do {
    queue.reserve(16'000);
    queue.commit(1'000);
    sent += 1'000;
    queue.reserve(16'000);
    queue.commit(1'000);
    sent += 1'000;
  } while (flush_from(flush_from, 0) == IoStatus::kDone);
  std::vector<uint8_t> got;
  for (int depth = 1; depth < 100 && got.size() < sent; ++depth) {
    read_turn(link->client, got);
    ASSERT_NE(flush_from(flush_from, depth), IoStatus::kFailed) << link->server.tls()->failure_detail();
  }
  EXPECT_EQ(got.size(), sent);
}

TEST_F(TlsSessionTest, FullChunksAreRecords) {
  const auto link = linked();
  ByteQueue queue(chunks);
  queue.append(noise(Chunk::kBytes * 3, 4));
  ASSERT_EQ(link->server.flush(queue), IoStatus::kDone);
  EXPECT_EQ(records_on(link->client.fd()).size(), 3u);
}

TEST_F(TlsSessionTest, OneSideEndsAndTheOtherGoesOn) {
  const auto link = linked();
  std::vector<uint8_t> got;
  ByteQueue queue(chunks);
  queue.append(noise(100, 5));
  ASSERT_EQ(link->client.flush(queue), IoStatus::kDone);
  ASSERT_EQ(link->client.end_output(), IoStatus::kDone);
  EXPECT_EQ(read_turn(link->server, got), IoStatus::kClosed);
  EXPECT_EQ(got.size(), 100u);

  const auto answer = noise(1'000'000, 6);
  queue.append(answer);
  got.clear();
  for (int turn = 0; turn < 1000 && got.size() < answer.size(); ++turn) {
    ASSERT_NE(link->server.flush(queue), IoStatus::kFailed);
    ASSERT_EQ(read_turn(link->client, got), IoStatus::kBlocked);
  }
  EXPECT_TRUE(got == answer);
  ASSERT_EQ(link->server.end_output(), IoStatus::kDone);
  EXPECT_EQ(read_turn(link->client, got), IoStatus::kClosed);
  EXPECT_EQ(link->client_failure(), TlsFailure::kNone);
}

TEST_F(TlsSessionTest, TheEndComesThroughWhenTheSocketIsFull) {
  // Records that the socket takes until it is full; the same number for each new link.
  const auto fill = [this](Link& link, int limit) {
    ByteQueue queue(chunks);
    for (int records = 0; records < limit; ++records) {
      queue.append(noise(10, 8));
      if (link.server.flush(queue) == IoStatus::kBlocked) return records;
    }
    return limit;
  };
  const int room = fill(*linked(), 100'000);
  const auto link = linked();
  ASSERT_EQ(fill(*link, room), room);
  EXPECT_EQ(link->server.end_output(), IoStatus::kBlocked);
  EXPECT_EQ(link->server.end_output(), IoStatus::kBlocked);
  std::vector<uint8_t> got;
  IoStatus status = IoStatus::kBlocked;
  while (readable(link->client.fd()) && status == IoStatus::kBlocked) status = read_turn(link->client, got);
  EXPECT_EQ(status, IoStatus::kBlocked);
  EXPECT_EQ(link->server.end_output(), IoStatus::kDone);
  EXPECT_EQ(read_turn(link->client, got), IoStatus::kClosed);
  EXPECT_EQ(got.size(), static_cast<size_t>(room) * 10);
}

TEST_F(TlsSessionTest, AConnectionCutOffIsNoEnd) {
  const auto link = linked();
  shutdown(link->server.fd(), SHUT_WR);
  std::vector<uint8_t> got;
  EXPECT_EQ(read_turn(link->client, got), IoStatus::kFailed);
  EXPECT_EQ(link->client_failure(), TlsFailure::kTruncated);
}

TEST_F(TlsSessionTest, ASessionThatIsDroppedDoesNotLookLikeAnEnd) {
  const auto [server_end, client_end] = test::socket_pair();
  auto server = std::make_unique<Transport>(server_end, server_context->open_session(server_end));
  Transport client(client_end, client_context->open_session(client_end, "127.0.0.1", nullptr));
  for (int step = 0; step < 5; ++step) {
    client.tls()->handshake();
    if (!server->tls()->established()) server->tls()->handshake();
  }
  server.reset();
  std::vector<uint8_t> got;
  EXPECT_EQ(read_turn(client, got), IoStatus::kFailed);
  EXPECT_EQ(client.tls()->failure(), TlsFailure::kTruncated);
}

TEST_F(TlsSessionTest, WhatIsNotTlsHasAName) {
  for (const std::string_view first :
       {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n",
        "CONNECT a:443 HTTP/1.1\r\n\r\n"}) {
    const auto [server_end, client_end] = test::socket_pair();
    Transport server(server_end, server_context->open_session(server_end));
    ASSERT_EQ(send(client_end, first.data(), first.size(), 0), static_cast<ssize_t>(first.size()));
    EXPECT_EQ(server.tls()->handshake(), IoStatus::kFailed);
    EXPECT_STREQ(tls_failure_name(server.tls()->failure()), "not_tls") << first;
    EXPECT_NE(server.tls()->failure_detail(), "");
    close(client_end);
  }
}

TEST_F(TlsSessionTest, APeerThatLeavesInMidHandshakeHasAName) {
  const auto [server_end, client_end] = test::socket_pair();
  Transport server(server_end, server_context->open_session(server_end));
  EXPECT_EQ(server.tls()->handshake(), IoStatus::kBlocked);
  EXPECT_FALSE(server.tls()->wants_room());
  close(client_end);
  EXPECT_EQ(server.tls()->handshake(), IoStatus::kFailed);
  EXPECT_EQ(server.tls()->failure(), TlsFailure::kClosed);
}

TEST_F(TlsSessionTest, DamagedRecordsEndTheConnection) {
  const auto link = linked();
  const uint8_t record[] = {0x17, 3,  3,  0,  32, 1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14,
                            15,   16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32};
  ASSERT_EQ(send(link->client.fd(), record, sizeof(record), 0), static_cast<ssize_t>(sizeof(record)));
  std::vector<uint8_t> got;
  EXPECT_EQ(read_turn(link->server, got), IoStatus::kFailed);
  EXPECT_EQ(link->server_failure(), TlsFailure::kProtocolError);
  EXPECT_EQ(read_turn(link->server, got), IoStatus::kFailed);
  ByteQueue queue(chunks);
  queue.append(noise(10, 1));
  EXPECT_EQ(link->server.flush(queue), IoStatus::kFailed);
}

TEST_F(TlsSessionTest, ATimeOutIsAFailureLikeOthers) {
  const auto [server_end, client_end] = test::socket_pair();
  Transport server(server_end, server_context->open_session(server_end));
  server.tls()->give_up();
  EXPECT_EQ(server.tls()->failure(), TlsFailure::kTimedOut);
  close(client_end);
}

}  // namespace
}  // namespace sluice::l7
