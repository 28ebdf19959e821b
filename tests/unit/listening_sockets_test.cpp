#include "dataplane/l7/listening_sockets.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <set>

#include "dataplane/l7/transport.h"

namespace sluice::l7 {
namespace {

const IpAddress kLocal = IpAddress::v4(127, 0, 0, 1);

/// A port that nobody uses.
uint16_t free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  socklen_t size = sizeof(address);
  bind(fd, reinterpret_cast<sockaddr*>(&address), size);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  close(fd);
  return ntohs(address.sin_port);
}

ProxySettings with(uint32_t workers, const std::vector<std::pair<std::string, uint16_t>>& listeners) {
  ProxySettings settings;
  settings.workers = workers;
  for (const auto& [name, port] : listeners) {
    ListenerSettings& listener = settings.listeners.emplace_back();
    listener.name = name;
    listener.address = kLocal;
    listener.port = port;
  }
  return settings;
}

/// The sockets that some worker accepts from.
std::set<const BoundSocket*> accepted(const ProxySettings& settings, const BoundSockets& all) {
  std::set<const BoundSocket*> found;
  for (uint32_t worker = 0; worker < settings.workers; ++worker) {
    for (const BoundSockets& listener : sockets_of_worker(settings, all, worker)) {
      EXPECT_FALSE(listener.empty()) << "worker " << worker << " has none";
      for (const auto& socket : listener) found.insert(socket.get());
    }
  }
  return found;
}

bool is_open(int fd) {
  return fcntl(fd, F_GETFD) >= 0;
}

TEST(ListeningSockets, EachWorkerHasOneOfEachListener) {
  const auto settings = with(3, {{"a", free_port()}, {"b", free_port()}});
  const auto all = open_sockets(settings, {});
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(all->size(), 6u);
  EXPECT_EQ(accepted(settings, *all).size(), 6u);
  EXPECT_EQ(sockets_of_worker(settings, *all, 0)[1][0]->port(), settings.listeners[1].port);
}

TEST(ListeningSockets, WhatStaysIsKeptAndWhatIsGoneIsClosed) {
  const uint16_t first = free_port();
  const auto before = with(2, {{"a", first}, {"b", free_port()}});
  auto old = open_sockets(before, {});
  ASSERT_TRUE(old);
  // By address, not by name.
  const auto settings = with(2, {{"renamed", first}, {"c", free_port()}});
  const auto all = open_sockets(settings, *old);
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(all->size(), 4u);
  EXPECT_EQ((*all)[0], (*old)[0]);
  EXPECT_EQ((*all)[1], (*old)[1]);
  const int gone = (*old)[2]->fd();
  const int kept = (*old)[0]->fd();
  old->clear();
  EXPECT_FALSE(is_open(gone));
  EXPECT_TRUE(is_open(kept));
}

TEST(ListeningSockets, AllAreAcceptedFromWithAnyNumberOfWorkers) {
  const uint16_t port = free_port();
  const auto five = open_sockets(with(5, {{"a", port}}), {});
  ASSERT_TRUE(five);
  for (const uint32_t workers : {1u, 2u, 3u, 5u, 8u}) {
    const auto settings = with(workers, {{"a", port}});
    const auto all = open_sockets(settings, *five);
    ASSERT_TRUE(all) << all.error().message;
    EXPECT_EQ(all->size(), std::max(workers, 5u));
    EXPECT_EQ(accepted(settings, *all).size(), all->size()) << workers << " workers";
  }
}

TEST(ListeningSockets, WorkersShareWhereNoFurtherSocketCanBeOpened) {
  // Of somebody who does not share its address (SO_REUSEPORT), as one of another user would not.
  const uint16_t port = free_port();
  auto first = open_sockets(with(1, {{"a", port}}), {});
  ASSERT_TRUE(first);
  const int off = 0;
  setsockopt((*first)[0]->fd(), SOL_SOCKET, SO_REUSEPORT, &off, sizeof(off));
  const auto settings = with(3, {{"a", port}});
  const auto all = open_sockets(settings, *first);
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(all->size(), 1u);
  EXPECT_EQ(accepted(settings, *all).size(), 1u);
}

TEST(ListeningSockets, AnotherProcessOnTheAddressIsNotSharedWith) {
  const auto settings = with(2, {{"a", free_port()}});
  const auto theirs = open_sockets(settings, {});
  ASSERT_TRUE(theirs);
  const auto ours = open_sockets(settings, {});
  ASSERT_FALSE(ours);
  EXPECT_THAT(ours.error().message, testing::HasSubstr("listener a: cannot listen on 127.0.0.1:"));
  EXPECT_THAT(ours.error().message, testing::HasSubstr("--upgrade"));
}

TEST(ListeningSockets, OneForAllAddressesAndOneForASingleAddressStandSideBySide) {
  auto settings = with(2, {{"all", free_port()}, {"one", 0}});
  settings.listeners[0].address = IpAddress::v4(0, 0, 0, 0);
  settings.listeners[1].port = settings.listeners[0].port;
  const auto all = open_sockets(settings, {});
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(all->size(), 4u);
}

TEST(ListeningSockets, WhatComesFromElsewhereIsLookedAt) {
  const auto settings = with(1, {{"a", free_port()}});
  const auto all = open_sockets(settings, {});
  ASSERT_TRUE(all);
  const auto adopted = BoundSocket::adopt(dup((*all)[0]->fd()));
  ASSERT_TRUE(adopted) << adopted.error().message;
  EXPECT_EQ((*adopted)->address(), kLocal);
  EXPECT_EQ((*adopted)->port(), settings.listeners[0].port);
  const int not_listening = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT_FALSE(BoundSocket::adopt(not_listening));
  EXPECT_FALSE(is_open(not_listening));
}

}  // namespace
}  // namespace sluice::l7
