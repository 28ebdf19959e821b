// What goes over the upgrade socket, over a pair of sockets.
#include "control/proxy/handover.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <thread>

namespace sluice {
namespace {

using testing::HasSubstr;

struct Pair {
  Pair() {
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) std::abort();
  }
  ~Pair() {
    close(ends[0]);
    close(ends[1]);
  }
  int ends[2];
};

l7::TicketKey key(uint8_t value) {
  l7::TicketKey made;
  made.name.fill(value);
  made.cipher.fill(static_cast<uint8_t>(value + 1));
  made.mac.fill(static_cast<uint8_t>(value + 2));
  return made;
}

HandoverOffer offer_with(size_t sockets) {
  HandoverOffer offer;
  offer.pid = 4711;
  offer.version = "1.2.3";
  offer.unhealthy = {"app/192.0.2.1:80"};
  offer.ticket_keys = l7::TlsTicketKeys::State{key(0xfd), key(0x01), std::chrono::milliseconds(123'456'789)};
  offer.upgrade_socket = socket(AF_UNIX, SOCK_STREAM, 0);
  for (size_t i = 0; i < sockets; ++i) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (listen(fd, 1) != 0) std::abort();
    auto bound = l7::BoundSocket::adopt(fd);
    if (!bound) std::abort();
    offer.sockets.push_back(*std::move(bound));
  }
  return offer;
}

void send_raw(int fd, const std::string& text) {
  const auto size = static_cast<uint32_t>(text.size());
  ASSERT_EQ(send(fd, &size, sizeof(size), 0), ssize_t(sizeof(size)));
  ASSERT_EQ(send(fd, text.data(), text.size(), 0), ssize_t(text.size()));
}

TEST(Handover, AnOfferArrivesAsItWas) {
  // More descriptors than one message may carry.
  const HandoverOffer offer = offer_with(600);
  const Pair pair;
  std::thread sender([&] { EXPECT_TRUE(send_offer(pair.ends[0], offer)); });
  const auto received = receive_offer(pair.ends[1]);
  sender.join();
  ASSERT_TRUE(received) << received.error().message;
  EXPECT_EQ(received->pid, 4711);
  EXPECT_EQ(received->version, "1.2.3");
  EXPECT_EQ(received->unhealthy, offer.unhealthy);
  ASSERT_EQ(received->sockets.size(), 600u);
  for (size_t i = 0; i < 600; ++i) ASSERT_EQ(received->sockets[i]->port(), offer.sockets[i]->port());
  ASSERT_TRUE(received->ticket_keys);
  EXPECT_EQ(received->ticket_keys->age, offer.ticket_keys->age);
  EXPECT_EQ(received->ticket_keys->current.name, key(0xfd).name);
  EXPECT_EQ(received->ticket_keys->current.mac, key(0xfd).mac);
  ASSERT_TRUE(received->ticket_keys->previous);
  EXPECT_EQ(received->ticket_keys->previous->cipher, key(0x01).cipher);
  EXPECT_GE(received->upgrade_socket, 0);
  close(received->upgrade_socket);
  close(offer.upgrade_socket);
}

TEST(Handover, ARefusalSaysWhy) {
  const Pair pair;
  ASSERT_TRUE(send_refusal(pair.ends[0], "pid 7 is about to take over"));
  const auto received = receive_offer(pair.ends[1]);
  ASSERT_FALSE(received);
  EXPECT_EQ(received.error().message, "pid 7 is about to take over");
}

TEST(Handover, AnotherFormatIsNotGuessedAt) {
  const Pair pair;
  send_raw(pair.ends[0], R"({"format": 2, "version": "9.0", "pid": 1, "sockets": 1})");
  const auto received = receive_offer(pair.ends[1]);
  ASSERT_FALSE(received);
  EXPECT_THAT(received.error().message,
              HasSubstr("found hand-over format 2 of sluice-proxy 9.0; accepted: 1"));
}

TEST(Handover, WhatIsNoOfferIsAnError) {
  for (const std::string text : {"", "{", "[]", "{\"format\": \"x\"}", "{\"format\": 1, \"pid\": 1}",
                                 "{\"format\": 1, \"pid\": 1, \"version\": \"\", \"sockets\": -1}"}) {
    EXPECT_FALSE(parse_offer(text)) << text;
  }
  // A length that nobody means.
  const Pair pair;
  ASSERT_EQ(send(pair.ends[0], "HTTP/1.1", 8, 0), 8);
  EXPECT_THAT(receive_offer(pair.ends[1]).error().message, HasSubstr("something else than a sluice-proxy"));
}

TEST(Handover, KeysOfAWrongLengthAreNotUsed) {
  std::string text = offer_text(offer_with(0));
  const size_t at = text.find("\"name\":\"fdfd");
  ASSERT_NE(at, std::string::npos);
  text.erase(at + 8, 2);
  const auto offer = parse_offer(text);
  ASSERT_TRUE(offer);
  EXPECT_FALSE(offer->ticket_keys);
}

TEST(Handover, AnEndInTheMiddleIsAnError) {
  const Pair pair;
  send_raw(pair.ends[0], R"({"format": 1, "version": "1", "pid": 1, "sockets": 3})");
  shutdown(pair.ends[0], SHUT_WR);
  const auto received = receive_offer(pair.ends[1]);
  ASSERT_FALSE(received);
  EXPECT_EQ(received.error().message, "the other side has closed the connection");
}

TEST(Handover, AProcessKnowsWhoAsks) {
  const Pair pair;
  const auto peer = peer_of(pair.ends[0]);
  ASSERT_TRUE(peer);
  EXPECT_EQ(peer->pid, getpid());
  EXPECT_EQ(peer->user, geteuid());
}

}  // namespace
}  // namespace sluice
