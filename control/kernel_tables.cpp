#include "control/kernel_tables.h"

#include <linux/rtnetlink.h>

#include <array>
#include <chrono>
#include <utility>
#include <vector>

namespace sluice::control {
namespace {

/// Linux says nothing about the routes that it drops together with their interface or source address, nor
/// about those that lead elsewhere because a rule or a next hop object changed: hence these groups too.
constexpr std::array<unsigned, 9> kGroups = {RTNLGRP_LINK,       RTNLGRP_NEIGH,       RTNLGRP_IPV4_ROUTE,
                                             RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
                                             RTNLGRP_IPV4_RULE,  RTNLGRP_IPV6_RULE,   RTNLGRP_NEXTHOP};

/// Room for a burst of some thousand notifications (each takes about 1 KiB of it).
constexpr int kReceiveBufferBytes = 4 << 20;

/// After an overrun: the burst that caused it goes on for a while.
constexpr std::chrono::milliseconds kReadAgainDelay{100};

}  // namespace

KernelTables::KernelTables(boost::asio::io_context& io, Listener listener)
    : listener_(std::move(listener)), io_(io), read_again_timer_(io) {}

Result<void> KernelTables::start() {
  auto opened = Netlink::open(io_, kGroups, kReceiveBufferBytes,
                              {.on_message = [this](const nlmsghdr& message) { on_message(message); },
                               .on_overrun =
                                   [this] {
                                     read_again();
                                     listener_.on_any_route();
                                   }});
  if (!opened) {
    return tl::unexpected(opened.error());
  }
  netlink_ = std::move(*opened);
  begin(Dump::kLinks);
  return {};
}

void KernelTables::stop() {
  read_again_timer_.cancel();
  netlink_.reset();
}

const Neighbour* KernelTables::neighbour(const NeighbourKey& key) const {
  const auto found = neighbours_.find(key);
  return found == neighbours_.end() ? nullptr : &found->second;
}

void KernelTables::on_message(const nlmsghdr& message) {
  if ((message.nlmsg_flags & NLM_F_DUMP_INTR) != 0) {
    interrupted_ = true;
  }
  switch (message.nlmsg_type) {
    case NLMSG_DONE:
    case NLMSG_ERROR:
      end_of_dump(message);
      break;
    case RTM_NEWLINK:
    case RTM_DELLINK:
      if (const auto change = parse_link(message)) {
        on_link(*change);
      }
      break;
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      if (const auto change = parse_neighbour(message)) {
        on_neighbour(*change);
      }
      break;
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      if (const auto destination = parse_route_destination(message)) {
        listener_.on_route(*destination);
      }
      break;
    default:
      listener_.on_any_route();
      break;
  }
}

void KernelTables::on_link(const LinkChange& change) {
  if (change.gone) {
    forget_link(change.link.index);
    return;
  }
  if (dump_ != Dump::kNone) {
    links_seen_.insert(change.link.index);
  }
  const auto [link, is_new] = links_.try_emplace(change.link.index, change.link);
  if (!is_new && link->second == change.link) {
    return;
  }
  link->second = change.link;
  listener_.on_links();
}

void KernelTables::forget_link(uint32_t index) {
  if (links_.erase(index) == 0) {
    return;
  }
  std::vector<NeighbourKey> orphans;
  for (const auto& [key, neighbour] : neighbours_) {
    if (key.interface_index == index) {
      orphans.push_back(key);
    }
  }
  for (const NeighbourKey& key : orphans) {
    forget_neighbour(key);
  }
  listener_.on_links();
}

void KernelTables::on_neighbour(const NeighbourChange& change) {
  if (!change.neighbour) {
    forget_neighbour(change.key);
    return;
  }
  if (dump_ != Dump::kNone) {
    neighbours_seen_.insert(change.key);
  }
  const auto found = neighbours_.find(change.key);
  if (found == neighbours_.end()) {
    neighbours_.emplace(change.key, *change.neighbour);
    listener_.on_neighbour(change.key, nullptr);
  } else {
    const Neighbour before = std::exchange(found->second, *change.neighbour);
    listener_.on_neighbour(change.key, &before);
  }
}

void KernelTables::forget_neighbour(const NeighbourKey& key) {
  const auto found = neighbours_.find(key);
  if (found == neighbours_.end()) {
    return;
  }
  const Neighbour before = found->second;
  neighbours_.erase(found);
  listener_.on_neighbour(key, &before);
}

void KernelTables::read_again() {
  if (std::exchange(read_again_pending_, true)) {
    return;
  }
  read_again_timer_.expires_after(kReadAgainDelay);
  read_again_timer_.async_wait([this, alive = std::weak_ptr(alive_)](const boost::system::error_code& error) {
    if (error || alive.expired()) {
      return;
    }
    if (dump_ != Dump::kNone) {
      interrupted_ = true;  // one dump at a time: its end begins the next
      return;
    }
    begin(Dump::kLinks);
  });
}

void KernelTables::begin(Dump dump) {
  if (dump == Dump::kLinks) {
    read_again_pending_ = false;
    interrupted_ = false;
    links_seen_.clear();
    neighbours_seen_.clear();
  }
  dump_ = dump;
  Request request = dump == Dump::kLinks ? link_dump_request() : neighbour_dump_request();
  request.header().nlmsg_seq = ++sequence_;
  if (!netlink_->send(request.header())) {
    dump_ = Dump::kNone;
    read_again();
  }
}

void KernelTables::end_of_dump(const nlmsghdr& message) {
  if (dump_ == Dump::kNone || message.nlmsg_seq != sequence_) {
    return;
  }
  const bool failed = message.nlmsg_type == NLMSG_ERROR;
  if (dump_ == Dump::kLinks && !failed) {
    begin(Dump::kNeighbours);
    return;
  }
  dump_ = Dump::kNone;
  if (failed || interrupted_) {
    read_again_pending_ = false;
    read_again();
    return;
  }
  forget_unseen();
  complete_ = true;
  listener_.on_links();
}

void KernelTables::forget_unseen() {
  std::vector<uint32_t> links_gone;
  for (const auto& [index, link] : links_) {
    if (!links_seen_.contains(index)) {
      links_gone.push_back(index);
    }
  }
  for (uint32_t index : links_gone) {
    forget_link(index);
  }
  std::vector<NeighbourKey> neighbours_gone;
  for (const auto& [key, neighbour] : neighbours_) {
    if (!neighbours_seen_.contains(key)) {
      neighbours_gone.push_back(key);
    }
  }
  for (const NeighbourKey& key : neighbours_gone) {
    forget_neighbour(key);
  }
  links_seen_.clear();
  neighbours_seen_.clear();
}

}  // namespace sluice::control
